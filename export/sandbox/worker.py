"""The process in which an export and the user's code run.

`python -m export.sandbox.worker FD` reads [work, request] from its standard input and answers on the pipe FD,
with one JSON object per line. Output of the user's code goes to standard error."""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Serve one request and return exit code 0; the result or the error is on the pipe."""
    pipe = os.fdopen(int(arguments[0]), "w", buffering=1)
    os.set_inheritable(pipe.fileno(), False)
    if sys.platform == "linux":
        # Without the parent, nobody would read the answer.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    work, request = json.loads(sys.stdin.readline())
    os.dup2(2, 1)

    def send(**message: Any) -> None:
        pipe.write(json.dumps(message) + "\n")

    from export.errors import describe_surprise
    from export.sandbox.foreign_code import watch
    from serve.base.errors import CounterweightError

    watch(lambda what: send(inside=what))
    try:
        send(**_WORK[work](request))
    except CounterweightError as error:
        send(error=str(error))
    except Exception as error:  # a person wants a sentence, not where Python stood
        send(error=describe_surprise(error))
    return 0


def _export(request: dict[str, Any]) -> dict[str, Any]:
    from export.pipeline import REPORT, run

    outcome = run(Path(request["recipe"]), Path(request["out"]), request["only"], request["force"])
    return {
        "status": dict(outcome.status),
        "failed": dict(outcome.failed),
        "stale": outcome.stale,
        "folder": str(outcome.model.folder),
        "report": str(outcome.model.folder / REPORT),
    }


def _prove(request: dict[str, Any]) -> dict[str, Any]:
    from export.adding.prove import prove

    recipe, out, source = (Path(request[key]) for key in ("recipe", "out", "source"))
    return {"folder": str(prove(recipe, out, request["variant"], source))}


def _draft(request: dict[str, Any]) -> dict[str, Any]:
    from export.compress.compress_request import CompressRequest
    from export.compress.draft import draft
    from export.progress import progress

    with progress() as say:
        return draft(CompressRequest.model_validate(request), say).model_dump(mode="json")


_WORK: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "export": _export,
    "prove": _prove,
    "draft": _draft,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
