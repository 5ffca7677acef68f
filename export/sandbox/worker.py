"""The process in which an export and the user's code run.

`python -m export.sandbox.worker FD` reads [work, request] from each line of its standard input and answers on
the pipe FD, with one JSON object per line. Output of the user's code goes to standard error."""

import ctypes
import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.search.trial_evaluator import TrialEvaluator

_PR_SET_PDEATHSIG = 1
_listeners: list[Callable[[str], object]] = []


def main(arguments: list[str]) -> int:
    """Serve all requests and return exit code 0; the results or errors are on the pipe."""
    pipe = os.fdopen(int(arguments[0]), "w", buffering=1)
    os.set_inheritable(pipe.fileno(), False)
    if sys.platform == "linux":
        # Without the parent, nobody would read the answer.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(2, 1)

    def send(**message: Any) -> None:
        pipe.write(json.dumps(message) + "\n")

    from export.errors import describe_surprise
    from export.sandbox.foreign_code import watch
    from serve.base.errors import CounterweightError

    _listeners.append(lambda doing: send(doing=doing))
    watch(lambda what: send(inside=what))
    for line in sys.stdin:
        work, request = json.loads(line)
        try:
            send(answer=_WORK[work](request))
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


def _tell(doing: str) -> None:
    """Say what is being done."""
    for listener in _listeners:
        listener(doing)


def _analyse(request: dict[str, Any]) -> dict[str, Any]:
    from export.search.search_request import Search

    run = _open_trials(request["recipe"], request["out"])
    return run.analyse(Search.model_validate(request["search"])).model_dump(mode="json")


def _trial(request: dict[str, Any]) -> dict[str, Any]:
    from export.search.trial import TrialRequest

    run = _open_trials(request["recipe"], request["out"])
    return run.run(TrialRequest.model_validate(request["trial"])).model_dump(mode="json", exclude_unset=True)


@functools.cache
def _open_trials(recipe_path: str, out: str) -> "TrialEvaluator":
    """Read the model and the data once for all trials of this process."""
    from export.factories import importable
    from export.recipe import load_recipe
    from export.reproducible import reproducible
    from export.search.trial_evaluator import TrialEvaluator

    path = Path(recipe_path)
    recipe, folder = load_recipe(path), path.resolve().parent
    # Until the process ends.
    lasting = ExitStack()
    lasting.enter_context(importable([folder, Path.cwd()]))
    lasting.enter_context(reproducible(recipe.threads))
    return TrialEvaluator(recipe, folder, Path(out), _tell)


_WORK: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "export": _export,
    "prove": _prove,
    "draft": _draft,
    "analyse": _analyse,
    "trial": _trial,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
