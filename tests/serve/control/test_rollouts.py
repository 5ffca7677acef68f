from typing import Any, get_args

import pytest

from serve.base.errors import CounterweightError, LostLease, StoreFailed, UnknownVariant
from serve.rollout.api_records import Act, ActRequest, RolloutLine, RolloutRequest, RolloutView, TrailLine
from serve.rollout.replay import Replay
from serve.rollout.state.policy import Policy, ShadowPolicy
from serve.rollout.state.rollout import Phase
from tests.serve.endpoint import Endpoint

RUNNING = "linear-20261122-152000-3f9a"
PATH = f"/control/rollouts/{RUNNING}"
OF_MODEL = "/control/models/linear/rollouts"


def test_lists_rollouts_newest_first(endpoint: Endpoint) -> None:
    """Rollouts are listed newest first, one entry each."""
    lines = [RolloutLine.model_validate(line) for line in endpoint.client.get(OF_MODEL).json()["rollouts"]]
    assert [(line.rollout, line.phase) for line in lines] == [
        (RUNNING, Phase.STEP),
        ("linear-20261122-140000-81c0", Phase.ROLLED_BACK),
    ]


def test_shows_a_rollout_as_the_keeper_sees_it(endpoint: Endpoint) -> None:
    """The answer equals the keeper's view of the rollout."""
    shown = endpoint.client.get(PATH)
    assert RolloutView.model_validate_json(shown.content) == endpoint.control.keeper.command("view", RUNNING)


def test_starts_a_rollout(endpoint: Endpoint) -> None:
    """The answer is 201 with the rollout, and the keeper gets the policy as it was sent."""
    endpoint.client.post(f"{PATH}/abort", json={})
    endpoint.control.told.clear()
    wanted = {"candidate": "light", "policy": {"shadow": {"share": 0.5}}}
    answer = endpoint.client.post(OF_MODEL, json=wanted)
    assert (answer.status_code, answer.json()["rollout"]["phase"]) == (201, "SHADOW")
    expected = RolloutRequest(candidate="light", policy=Policy(shadow=ShadowPolicy(share=0.5)))
    assert endpoint.control.told == [("start", "linear", expected, "local")]


def test_a_policy_that_cannot_be_is_400_with_its_faults(endpoint: Endpoint) -> None:
    """An invalid policy gives 400, and the error names the place of the fault."""
    steps = [{"share": 0.5}, {"share": 0.1}, {"share": 1}]
    wanted = {"candidate": "light", "policy": {"steps": steps}}
    answer = endpoint.client.post(OF_MODEL, json=wanted)
    assert answer.status_code == 400
    assert "policy: steps: the share 0.1 follows 0.5; write shares in rising order" in answer.json()["error"]
    assert endpoint.control.told == []


@pytest.mark.parametrize("act", [act for act in get_args(Act) if act not in ("resume", "accept")])
@pytest.mark.parametrize(("body", "number"), [(b"", None), (b"{}", None), (b'{"number": 9}', 9)], ids=repr)
def test_acts_on_a_rollout(endpoint: Endpoint, act: Act, body: bytes, number: int | None) -> None:
    """An act works with or without an entry number, and the answer is the new view."""
    answer = endpoint.client.post(f"{PATH}/{act}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert answer.json()["number"] == 10
    assert endpoint.control.told == [("act", RUNNING, act, ActRequest(number=number), "local")]


def test_resumes_what_was_paused(endpoint: Endpoint) -> None:
    """Only a paused rollout can be resumed."""
    assert endpoint.client.post(f"{PATH}/resume", json={}).status_code == 409
    assert endpoint.client.post(f"{PATH}/pause", json={}).json()["rollout"]["phase"] == "PAUSED"
    assert endpoint.client.post(f"{PATH}/resume", json={}).json()["rollout"]["phase"] == "STEP"


def test_accepts_what_is_done(endpoint: Endpoint) -> None:
    """Only a finished rollout can be accepted."""
    assert endpoint.client.post(f"{PATH}/accept", json={}).status_code == 409
    endpoint.control.come_to("done")
    view = endpoint.client.post(f"{PATH}/accept", json={}).json()
    assert (view["rollout"]["phase"], view["rollout"]["accepted"]) == ("DONE", True)


def test_an_act_on_an_old_entry_is_409_with_the_current_one(endpoint: Endpoint) -> None:
    """An act on an outdated entry gives 409 with the number of the current entry."""
    answer = endpoint.client.post(f"{PATH}/promote", json={"number": 3})
    assert (answer.status_code, answer.json()["current"]) == (409, 9)


@pytest.mark.parametrize("act", get_args(Act))
def test_an_act_needs_json_even_without_a_body(endpoint: Endpoint, act: Act) -> None:
    """An act without JSON gives 415, so that another site's form cannot act."""
    assert endpoint.client.post(f"{PATH}/{act}").status_code == 415
    assert endpoint.control.told == []


def test_an_unknown_act_is_404(endpoint: Endpoint) -> None:
    """A path with none of the five acts gives a 404."""
    assert endpoint.client.post(f"{PATH}/hurry", json={}).status_code == 404


def test_only_post_acts(endpoint: Endpoint) -> None:
    """A GET on an act's path gives 405 and does nothing."""
    assert endpoint.client.get(f"{PATH}/abort").status_code == 405
    assert endpoint.control.told == []


def test_an_unknown_rollout_is_404(endpoint: Endpoint) -> None:
    """Viewing, acting on or replaying an unknown rollout gives 404."""
    path = "/control/rollouts/linear-20200101-000000-0000"
    answers = [endpoint.client.get(path), endpoint.client.get(f"{path}/replay")]
    answers.append(endpoint.client.post(f"{path}/abort", json={}))
    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_the_verdicts_are_computed_once_more(endpoint: Endpoint) -> None:
    """A replay computes all verdicts again and finds no difference."""
    replayed = Replay.model_validate_json(endpoint.client.get(f"{PATH}/replay").content)
    assert replayed == Replay(rollout=RUNNING, verdicts=3, faults=())


@pytest.mark.parametrize(("query", "first"), [("", 1), ("?after=0", 1), ("?after=7", 8), ("?after=99", None)])
def test_the_trail_goes_on_after_an_entry(endpoint: Endpoint, query: str, first: int | None) -> None:
    """The trail starts after the named entry, or at the first one by default."""
    answer = endpoint.client.get(f"/control/models/linear/trail{query}")
    entries = [TrailLine.model_validate(entry) for entry in answer.json()["entries"]]
    assert [entry.number for entry in entries] == ([] if first is None else list(range(first, 10)))


@pytest.mark.parametrize("after", ["-1", "x", "", "1.5", "\u0661", "9" * 19])
def test_a_trail_after_nothing_is_400(endpoint: Endpoint, after: str) -> None:
    """An invalid `after` gives 400, and the error says what is expected."""
    answer = endpoint.client.get("/control/models/linear/trail", params={"after": after})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"'after' is '{after}', expected the number of an entry")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownVariant("no variant 'ligt'"), 404),
        (StoreFailed("the disk is full"), 503),
        (LostLease("another keeper acts"), 503),
    ],
    ids=repr,
)
def test_what_the_keeper_raises_is_told(endpoint: Endpoint, error: CounterweightError, status: int) -> None:
    """An error of the keeper is answered with its status and its message."""
    endpoint.control.error = error
    answers: list[Any] = [
        endpoint.client.get(PATH),
        endpoint.client.get(OF_MODEL),
        endpoint.client.post(OF_MODEL, json={"candidate": "ligt"}),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (status, {"error": str(error)})
    ] * 3
