"""Isolation: an export in a process of its own, so that the user's code can crash, hang or print there."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from export.errors import ExportFailed, InvalidSource
from export.recipe import load_recipe
from serve.base.record import Record


class Result(Record):
    """What an export did, as told by its process."""

    # variant -> "built", "unchanged" or "failed".
    status: dict[str, str]
    # variant -> the reason.
    failed: dict[str, str]
    stale: tuple[str, ...]
    # Of the model, in the repository.
    folder: Path
    report: Path


def export_apart(path: Path, out: Path, only: str | None, force: bool) -> Result:
    """`export.pipeline.run` in another process. Raises its errors as ExportFailed, and InvalidSource when the
    user's code ends the process or takes longer than the recipe's `time_limit_s`."""
    request = {"recipe": str(path), "out": str(out), "only": only, "force": force}
    return Result.model_validate(_ask_apart(path, request))


def prove_apart(path: Path, out: Path, variant: str, source: Path) -> Path:
    """`export.adding.prove.prove` in another process, with the same errors; the folder of the bundle."""
    request = {"recipe": str(path), "out": str(out), "variant": variant, "source": str(source)}
    return Path(_ask_apart(path, request)["folder"])


def _ask_apart(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own says to the request, which names the recipe at `path`."""
    time_limit_s = load_recipe(path).time_limit_s
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            # -P: a file in the current folder must not stand in for one of our modules.
            [sys.executable, "-P", "-m", "export.sandbox.worker", str(writing)],
            stdin=subprocess.PIPE,
            pass_fds=[writing],
        )
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe, process:
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.close()
            return _follow(process, pipe.fileno(), time_limit_s)
        finally:
            _end(process)


def _follow(process: subprocess.Popen[bytes], pipe: int, time_limit_s: float) -> dict[str, Any]:
    """The result, once it is there. Raises ExportFailed or InvalidSource."""
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
        how = "was killed (by the system, if memory ran out)"
    elif code < 0:
        how = f"crashed: {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    if inside:
        return InvalidSource(f"inside {inside} the export's process {how}; what was finished is kept")
    return ExportFailed(f"the export's process {how}; what was finished is kept: export again to go on")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            # The answer is there, or Ctrl-C went to both of us: it is on its way out.
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
