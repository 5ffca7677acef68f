"""The process in which an export and the user's code run.

`python -m export.sandbox.worker FD` reads a request from its standard input and answers on the pipe FD, with
one JSON object per line. Output of the user's code goes to standard error."""

import ctypes
import json
import os
import signal
import sys
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
    request = json.loads(sys.stdin.readline())
    os.dup2(2, 1)

    def send(**message: Any) -> None:
        pipe.write(json.dumps(message) + "\n")

    from export.errors import describe_surprise
    from export.pipeline import REPORT, run
    from export.sandbox.foreign_code import watch
    from serve.base.errors import CounterweightError

    watch(lambda what: send(inside=what))
    recipe, out = Path(request["recipe"]), Path(request["out"])
    try:
        if "variant" in request:
            from export.adding.prove import prove

            send(folder=str(prove(recipe, out, request["variant"], Path(request["source"]))))
            return 0
        outcome = run(recipe, out, request["only"], request["force"])
    except CounterweightError as error:
        send(error=str(error))
    except Exception as error:  # a person wants a sentence, not where Python stood
        send(error=describe_surprise(error))
    else:
        send(
            status=dict(outcome.status),
            failed=dict(outcome.failed),
            stale=outcome.stale,
            folder=str(outcome.model.folder),
            report=str(outcome.model.folder / REPORT),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
