"""Stages: stores in which the rollout of a model has reached a stage. A real keeper writes each once."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

from serve.rollout.evidence.evidence import Comparison, Evidence
from serve.rollout.state.rollout import RolloutPlan
from tests.serve.model_keeper import ModelKeeper
from tests.serve.rollout.rollouts import segment, shadowed

# The stage that the last rollout has reached; "none" means that there was no rollout.
Stage = Literal["none", "shadow", "step", "watched", "done", "aborted", "rolled back"]
# Stores are made in this memory folder if it exists, so that tests need not wait for a disk.
_MEMORY = Path("/dev/shm")
# Errors of the baseline and of the candidate, at each step.
_HARMLESS = ((12, 0), (14, 1), (12, 2), (14, 1), (0, 4))


def failed_name(model: str) -> str:
    """Return the name of the rollout that was rolled back in its shadow an hour and a half ago."""
    return f"{model}-20261122-140000-81c0"


def last_name(model: str) -> str:
    """Return the name of the rollout that was started ten minutes ago and has reached the stage."""
    return f"{model}-20261122-152000-3f9a"


def copy_stage(stage: Stage, plan: RolloutPlan) -> Path:
    """Return a new folder with the store of a model at that stage."""
    folder = _new_folder()
    shutil.copytree(_written(stage, plan.model_dump_json()), folder, dirs_exist_ok=True)
    return folder


@cache
def _all_folders() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="stages-", dir=_MEMORY if _MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(dir=_all_folders()))


# The result is cached because writing a store takes up to a second.
@cache
def _written(stage: Stage, plan: str) -> Path:
    folder = _new_folder()
    keeper = ModelKeeper(folder, RolloutPlan.model_validate_json(plan), ago_s=7200)
    if stage != "none":
        model = keeper.plan.model
        keeper.begin(failed_name(model), 5400)
        keeper.judge(Evidence(shadow=shadowed(2000, 104)), 5280)
        keeper.begin(last_name(model), 600)
        _go_on(keeper, stage)
    keeper.store.close()
    return folder


def _go_on(keeper: ModelKeeper, stage: Stage) -> None:
    """Bring the rollout from the shadow to the stage."""
    if stage == "shadow":
        few = _compared(640, 9)
        slices = {"eu": _compared(420, 2), "us": _compared(220, 7)}
        keeper.judge(Evidence(shadow=few, outputs={"y": few}, slices=slices, dropped=17))
        return
    shadow = Evidence(shadow=_compared(1000, 3), outputs={"y": _compared(1000, 3)}, dropped=4)
    segments = [segment(step, 20_000, errors=errors) for step, errors in enumerate(_HARMLESS, 1)]
    keeper.judge(shadow, 540)
    keeper.act("pause", "bob", 500)
    keeper.act("resume", "bob", 440)
    ends = {1: 330, 2: 260, 3: 190, 4: 120, 5: 50} if stage in ("watched", "done") else {1: 330, 2: 260}
    for steps, ago_s in ends.items():
        seen = shadow.model_copy(update={"segments": tuple(segments[:steps])})
        keeper.judge(seen, ago_s)
    if stage == "watched":
        keeper.judge(seen)
    elif stage == "done":
        keeper.act("promote", "ann", 40)
    else:
        errors = (4, 31) if stage == "rolled back" else (4, 2)
        third = segment(3, 780, errors=errors)
        keeper.judge(shadow.model_copy(update={"segments": (*segments[:2], third)}), 20 * (stage != "step"))
        if stage == "aborted":
            keeper.act("abort", "ann", 10)


def _compared(pairs: int, disagreements: int) -> Comparison:
    return shadowed(pairs, disagreements) + Comparison(largest_difference=0.41)
