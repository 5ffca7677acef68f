"""Runs an export in a separate process, so that a crash, a hang or output of the user's code stays there."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from export.errors import ExportFailed, InvalidSource
from export.recipe import load_recipe
from serve.base.record import Record


class Result(Record):
    """The result of an export, as its process reported it."""

    # variant -> "built", "unchanged" or "failed".
    status: dict[str, str]
    # variant -> the reason.
    failed: dict[str, str]
    stale: tuple[str, ...]
    # The model's folder in the repository.
    folder: Path
    report: Path


def export_in_sandbox(path: Path, out: Path, only: str | None, force: bool) -> Result:
    """Run `export.pipeline.run` in another process.

    Raises its errors as ExportFailed, and InvalidSource if the user's code ends the process or exceeds the
    recipe's `time_limit_s`."""
    request = {"recipe": str(path), "out": str(out), "only": only, "force": force}
    return Result.model_validate(run_in_sandbox("export", request, load_recipe(path).time_limit_s))


def prove_in_sandbox(path: Path, out: Path, variant: str, source: Path) -> Path:
    """Run `export.adding.prove.prove` in another process, with the same errors; returns the bundle's
    folder."""
    request = {"recipe": str(path), "out": str(out), "variant": variant, "source": str(source)}
    return Path(run_in_sandbox("prove", request, load_recipe(path).time_limit_s)["folder"])


def run_in_sandbox(work: str, request: dict[str, Any], time_limit_s: float) -> dict[str, Any]:
    """Let a separate process do the work (see export/sandbox/worker.py), and return its answer.

    Raises its errors as ExportFailed, and InvalidSource if foreign code in it exceeds the time limit."""
    with Sandbox(time_limit_s) as sandbox:
        return sandbox.ask(work, request)


class Sandbox:
    """A separate process that does one piece of work after the other."""

    def __init__(self, time_limit_s: float) -> None:
        """Start the process; `time_limit_s` is for each call of foreign code in it."""
        self._time_limit_s = time_limit_s
        # Removed here, because a process that is killed leaves its files, perhaps gigabytes of weights.
        self._scratch = tempfile.TemporaryDirectory(prefix="counterweight-", ignore_cleanup_errors=True)
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                # -P prevents a file in the current folder from replacing one of our modules.
                [sys.executable, "-P", "-m", "export.sandbox.worker", str(writing)],
                stdin=subprocess.PIPE,
                pass_fds=[writing],
                env=os.environ | {"TMPDIR": self._scratch.name},
            )
        finally:
            os.close(writing)
        self._pipe = os.fdopen(reading, "rb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self, work: str, request: dict[str, Any], say: Callable[[str], object] = lambda doing: None
    ) -> dict[str, Any]:
        """Return the answer to a request; `say` hears what is being done, where the work says it.

        Raises ExportFailed and InvalidSource."""
        assert self._process.stdin is not None
        # A process that has ended tells why by its exit code.
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([work, request]).encode() + b"\n")
            self._process.stdin.flush()
        return self._follow(say)

    @property
    def killed(self) -> bool:
        """Whether something outside has killed the process, such as for want of memory."""
        return self._process.poll() == -signal.SIGKILL

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """Wait until the process has ended by itself, or end it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        _end(self._process)
        self._pipe.close()
        self._scratch.cleanup()

    def _follow(self, say: Callable[[str], object]) -> dict[str, Any]:
        inside, since, buffer = "", 0.0, b""
        while True:
            wait_s = max(since + self._time_limit_s - time.monotonic(), 0) if inside else None
            if not select.select([self._pipe], [], [], wait_s)[0]:
                self._process.kill()
                raise InvalidSource(
                    f"{inside} has not returned within {self._time_limit_s:g} s and was ended; "
                    "make it faster, or raise `time_limit_s` in the recipe"
                )
            chunk = os.read(self._pipe.fileno(), 65536)
            if not chunk:
                raise _explain_death(self._process.wait(), inside)
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                message: dict[str, Any] = json.loads(line)
                if "inside" in message:
                    inside, since = message["inside"], time.monotonic()
                elif "doing" in message:
                    say(message["doing"])
                elif "error" in message:
                    raise ExportFailed(message["error"])
                else:
                    answer: dict[str, Any] = message["answer"]
                    return answer


def _explain_death(code: int, inside: str) -> ExportFailed | InvalidSource:
    if code == -signal.SIGKILL:
        how = "was killed (possibly because memory ran out)"
    elif code < 0:
        how = f"crashed: {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    if inside:
        return InvalidSource(f"inside {inside} the export's process {how}; finished work is kept")
    return ExportFailed(f"the export's process {how}; finished work is kept, so export again to continue")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            # Either the answer is there, or Ctrl-C has reached both processes; the process is about to end.
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
