from pathlib import Path
from typing import Any

import pytest

from serve.rollout.state.feedback import Outcome
from tests.serve.endpoint import Endpoint
from tests.serve.model_keeper import NOW_S
from tests.serve.rollout.labels import answer as answered
from tests.serve.rollout_stages import failed_name, last_name

FAILED, RUNNING = failed_name("linear"), last_name("linear")
PATH = "/control/models/linear/feedback"


def test_outcomes_reach_the_keeper(endpoint: Endpoint) -> None:
    """The keeper gets the outcomes and says of each whether it was counted, double, late or unknown."""
    answers = [answered("a", rollout=RUNNING), answered("b", rollout=RUNNING), answered("c", rollout=FAILED)]
    endpoint.control.keeper.store.answered.note("linear", answers, NOW_S)
    outcomes = [{"request_id": name, "correct": name == "a"} for name in ["a", "b", "a", "c", "d"]]
    answer = endpoint.client.post(PATH, json={"outcomes": outcomes})
    assert answer.json() == {
        "counted": 2,
        "double": ["a"],
        "late": ["c"],
        "unknown": ["d"],
        "held": [],
        "no_class": [],
        "note": None,
    }
    [(_, model, told, _)] = endpoint.control.told
    assert (model, told.outcomes[1]) == ("linear", Outcome(request_id="b", correct=False))


def test_a_thousand_outcomes_are_the_most(module_repository: Path) -> None:
    """1,000 outcomes are accepted; 1,001 give 400 and none is counted."""
    outcomes = [{"request_id": str(number), "correct": True} for number in range(1001)]
    with Endpoint(repository=module_repository) as endpoint:
        few = endpoint.client.post(PATH, json={"outcomes": outcomes[1:]})
        many = endpoint.client.post(PATH, json={"outcomes": outcomes})
    assert (len(few.json()["unknown"]), many.status_code) == (1000, 400)
    assert "outcomes: Tuple should have at most 1000 items after validation, not 1001" in many.json()["error"]
    assert len(endpoint.control.told) == 1


@pytest.mark.parametrize(
    "outcome",
    [
        {},
        {"request_id": "a"},
        {"request_id": "", "correct": True},
        {"request_id": "a", "correct": None},
        {"request_id": "a", "correct": True, "label": 1},
        {"request_id": "a", "label": -1},
        {"request_id": "a", "label": 1.5},
        {"request_id": "a", "label": True},
    ],
)
def test_an_outcome_that_says_nothing_or_two_things_is_400(
    endpoint: Endpoint, outcome: dict[str, Any]
) -> None:
    """The error names the position of the invalid outcome."""
    answer = endpoint.client.post(PATH, json={"outcomes": [outcome]})
    assert answer.status_code == 400
    assert "outcomes.0" in answer.json()["error"]
    assert endpoint.control.told == []


def test_a_label_is_the_class_by_number_or_name(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway translates a class name into its number before the keeper gets it."""
    monkeypatch.setattr(endpoint.registry.models["linear"], "labels", ("cat", "dog"))
    outcomes = [{"request_id": "a", "label": 7}, {"request_id": "b", "label": "dog"}]
    assert endpoint.client.post(PATH, json={"outcomes": outcomes}).status_code == 200
    [(_, _, told, _)] = endpoint.control.told
    assert [outcome.label for outcome in told.outcomes] == [7, 1]


@pytest.mark.parametrize(
    ("names", "hint"),
    [(("cat", "dog"), "did you mean 'dog'?"), ((), "its classes have no names; send a number")],
)
def test_a_class_that_there_is_not_is_named(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], hint: str
) -> None:
    """The error for an unknown class suggests the nearest one, and nothing is counted."""
    monkeypatch.setattr(endpoint.registry.models["linear"], "labels", names)
    answer = endpoint.client.post(PATH, json={"outcomes": [{"request_id": "a", "label": "dogs"}]})
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        f"a: 'dogs' is not a class of 'linear'; {hint}",
    )
    assert endpoint.control.told == []


@pytest.mark.parametrize(
    ("label", "number"), [(1, 1), (0, 0), ("malignant", 1)], ids=["positive", "negative", "name"]
)
def test_a_label_of_a_binary_model_is_1_or_0_or_a_name(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, label: int | str, number: int
) -> None:
    """The second name is the class above the threshold."""
    monkeypatch.setattr(endpoint.registry.models["linear"], "task", "binary")
    monkeypatch.setattr(endpoint.registry.models["linear"], "labels", ("benign", "malignant"))
    assert endpoint.client.post(PATH, json={"outcomes": [{"request_id": "a", "label": label}]}).is_success
    [(_, _, told, _)] = endpoint.control.told
    assert [outcome.label for outcome in told.outcomes] == [number]


@pytest.mark.parametrize(
    ("task", "label", "error"),
    [
        ("binary", 2, "a: 2 is not a class of 'linear'; its classes have no names; send 1 or 0"),
        ("regression", 2, "a: the task of 'linear' is regression, and its answers do not name one class"),
    ],
)
def test_a_label_that_the_task_does_not_have_is_refused(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, task: str, label: int, error: str
) -> None:
    """The error names the task and what to send instead, and nothing is counted."""
    monkeypatch.setattr(endpoint.registry.models["linear"], "task", task)
    answer = endpoint.client.post(PATH, json={"outcomes": [{"request_id": "a", "label": label}]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert endpoint.control.told == []


def test_any_task_takes_whether_the_answer_was_right(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`correct` needs no class."""
    monkeypatch.setattr(endpoint.registry.models["linear"], "task", "regression")
    assert endpoint.client.post(PATH, json={"outcomes": [{"request_id": "a", "correct": True}]}).is_success


BODY = b'{"outcomes": [{"request_id": "a", "correct": true}]}'
FORM = {"content-type": "application/x-www-form-urlencoded"}


def test_curl_may_say_what_it_says_of_every_body(endpoint: Endpoint) -> None:
    """JSON with the content type of a form, as `curl -d` sends it, is accepted."""
    assert endpoint.client.post(PATH, content=BODY, headers=FORM).json()["unknown"] == ["a"]


@pytest.mark.parametrize("header", ["origin", "referer"])
def test_a_form_of_a_page_is_refused(endpoint: Endpoint, header: str) -> None:
    """A form that a browser sends is refused with 415, even from our own origin."""
    own = str(endpoint.client.base_url).rstrip("/")
    answer = endpoint.client.post(PATH, content=BODY, headers={**FORM, header: own})
    assert answer.status_code == 415
