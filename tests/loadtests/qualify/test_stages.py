import json
from collections.abc import Callable
from typing import Any

import pytest

from serve.rollout.evidence.evidence import Evidence
from serve.rollout.state.rollout import Phase
from tests.loadtests.loadtest_process import Finished
from tests.loadtests.qualify.conftest import Qualify
from tests.loadtests.qualify.rollout_views import ALIKE, canary
from tests.serve.rollout.rollouts import shadowed

GOOD = (ALIKE, ALIKE.model_copy(update={"segments": (canary(20_000),)}))
HARMFUL = (ALIKE, ALIKE.model_copy(update={"segments": (canary(20_000, late=(0, 300)),)}))
STRAYS = (Evidence(shadow=shadowed(2000, 1500)),)

Make = Callable[..., Qualify]


def run(qualify: Qualify, *arguments: str) -> tuple[Finished, dict[str, Any]]:
    """Return the finished command and its record, if it wrote one."""
    path = qualify.folder / "found.json"
    finished = qualify.run("--json", str(path), *arguments)
    return finished, json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def good(qualify: Make) -> Qualify:
    return qualify(*GOOD)


def test_four_stages_that_pass_are_qualified(good: Qualify) -> None:
    """Four passed stages give QUALIFIED and exit code 0, and the trail has the record."""
    finished, record = run(good, "--binary")
    assert finished.code == 0, finished.err
    assert record["outcome"] == "QUALIFIED"
    assert [(stage["name"], stage["outcome"]) for stage in record["stages"]] == [
        (name, "PASS") for name in ("quality", "capacity", "shadow", "canary")
    ]
    assert {stage["report"]["plan"]["binary"] for stage in record["stages"] if stage["report"]} == {True}
    [told] = [told for told in good.endpoint.control.told if told[0] == "qualify"]
    assert told[2].digests == record["digests"]
    assert [stage.name for stage in told[2].stages] == ["quality", "capacity", "shadow", "canary"]
    assert not good.is_running


@pytest.mark.parametrize(
    ("evidence", "stages", "reason"),
    [(STRAYS, 3, "shadow: agreement: "), (HARMFUL, 4, "canary: rollout: ROLLED_BACK: harm shown")],
    ids=["shadow", "canary"],
)
def test_one_stage_that_fails_is_enough(
    qualify: Make, evidence: tuple[Evidence, ...], stages: int, reason: str
) -> None:
    """A failed stage gives NOT_QUALIFIED and exit code 1, and the trail has the record."""
    mine = qualify(*evidence)
    finished, record = run(mine)
    assert finished.code == 1, finished.err
    assert finished.out.startswith("NOT_QUALIFIED: light against base of linear\n")
    assert len(record["stages"]) == stages
    assert record["reasons"][0].startswith(reason)
    assert [told[2].outcome for told in mine.endpoint.control.told if told[0] == "qualify"] == [
        "NOT_QUALIFIED"
    ]


def test_what_was_not_shown_is_invalid(qualify: Make) -> None:
    """Ten pairs prove nothing, which gives INVALID and exit code 3."""
    finished, record = run(qualify(Evidence(shadow=shadowed(10, 0))), "--set", "duration_s=0.2")
    assert finished.code == 3, finished.err
    assert record["complete"] is True
    assert record["reasons"][0].startswith("shadow: agreement: 0 of 10 pairs differ")


def test_ctrl_c_ends_it_with_what_there_is(qualify: Make) -> None:
    """Ctrl-C gives exit code 130 and an incomplete file, ends the rollout and writes no record."""
    mine = qualify()
    path = mine.folder / "found.json"
    finished = mine.interrupted("--json", str(path))
    assert finished.code == 130, finished.out + finished.err
    assert "(ended early)" in finished.out
    record = json.loads(path.read_text())
    assert (record["complete"], record["outcome"]) == (False, "INVALID")
    control, keeper = mine.endpoint.control, mine.endpoint.control.keeper
    assert [told for told in control.told if told[0] == "qualify"] == []
    assert keeper.rollout.phase is Phase.ROLLED_BACK
    assert {name: weight for name, weight in keeper.routes.weights.items() if weight} == {"base": 1}
