"""Runs an export in a separate process, so that a crash, a hang or output of the user's code stays there."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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
    # Removed here, because a process that is killed leaves its temporary files, perhaps gigabytes of weights.
    with tempfile.TemporaryDirectory(prefix="counterweight-", ignore_cleanup_errors=True) as scratch:
        reading, process = _start(scratch)
        with os.fdopen(reading, "rb", buffering=0) as pipe, process:
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps([work, request]).encode() + b"\n")
                process.stdin.close()
                return _follow(process, pipe.fileno(), time_limit_s)
            finally:
                _end(process)


def _start(scratch: str) -> tuple[int, subprocess.Popen[bytes]]:
    """Start the process, with its temporary files in `scratch`. Returns the pipe of its messages, too."""
    reading, writing = os.pipe()
    try:
        return reading, subprocess.Popen(
            # -P prevents a file in the current folder from replacing one of our modules.
            [sys.executable, "-P", "-m", "export.sandbox.worker", str(writing)],
            stdin=subprocess.PIPE,
            pass_fds=[writing],
            env=os.environ | {"TMPDIR": scratch},
        )
    finally:
        os.close(writing)


def _follow(process: subprocess.Popen[bytes], pipe: int, time_limit_s: float) -> dict[str, Any]:
    """Wait for the result. Raises ExportFailed or InvalidSource."""
    inside, since, buffer = "", 0.0, b""
    while True:
        wait_s = max(since + time_limit_s - time.monotonic(), 0) if inside else None
        if not select.select([pipe], [], [], wait_s)[0]:
            process.kill()
            raise InvalidSource(
                f"{inside} has not returned within {time_limit_s:g} s and was ended; "
                "make it faster, or raise `time_limit_s` in the recipe"
            )
        chunk = os.read(pipe, 65536)
        if not chunk:
            raise _explain_death(process.wait(), inside)
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if "inside" in message:
                inside, since = message["inside"], time.monotonic()
            elif "error" in message:
                raise ExportFailed(message["error"])
            else:
                return message


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
