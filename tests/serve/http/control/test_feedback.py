from pathlib import Path
from typing import Any

import pytest

from serve.rollout.feedback import Outcome
from tests.serve.endpoint import Endpoint

PATH = "/control/models/linear/feedback"


def test_outcomes_reach_the_keeper(endpoint: Endpoint) -> None:
    """Which tells what became of each."""
    ids = ["a", "b", "a", "late-1", "unknown-1"]
    outcomes = [{"request_id": name, "correct": name == "a"} for name in ids]
    answer = endpoint.client.post(PATH, json={"outcomes": outcomes})
    assert answer.json() == {"counted": 2, "double": ["a"], "late": ["late-1"], "unknown": ["unknown-1"]}
    [(_, model, told)] = endpoint.desk.told
    assert (model, told[1]) == ("linear", Outcome(request_id="b", correct=False))


def test_a_thousand_outcomes_are_the_most(module_repository: Path) -> None:
    """One more is 400, and none of them counts."""
    outcomes = [{"request_id": str(number), "correct": True} for number in range(1001)]
    with Endpoint(repository=module_repository) as endpoint:
        few = endpoint.client.post(PATH, json={"outcomes": outcomes[1:]})
        many = endpoint.client.post(PATH, json={"outcomes": outcomes})
    assert (few.json()["counted"], many.status_code) == (1000, 400)
    assert "outcomes: Tuple should have at most 1000 items after validation, not 1001" in many.json()["error"]
    assert len(endpoint.desk.told) == 1


@pytest.mark.parametrize(
    "outcome",
    [{}, {"request_id": "a"}, {"request_id": "", "correct": True}, {"request_id": "a", "correct": None}],
)
def test_an_outcome_that_says_nothing_is_400(endpoint: Endpoint, outcome: dict[str, Any]) -> None:
    """Which of them it is stands in the message."""
    answer = endpoint.client.post(PATH, json={"outcomes": [outcome]})
    assert answer.status_code == 400
    assert "outcomes.0." in answer.json()["error"]
    assert endpoint.desk.told == []
