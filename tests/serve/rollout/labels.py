"""Answered requests and their outcomes, for tests."""

from typing import Any

from serve.rollout.state.feedback import Feedback, Outcome
from serve.rollout.store.answered_requests import AnsweredRequest
from serve.rollout.store.label_totals import Running
from serve.rollout.store.store import Store

NOBODY: dict[str, Any] = {"counted": 0, "double": (), "late": (), "unknown": ()}


def answer(
    request_id: str, *, candidate: bool = False, step: int = 1, at_s: float = 5.0, **more: Any
) -> AnsweredRequest:
    """A request of digits in rollout r1, at a third of the traffic."""
    fields: dict[str, Any] = {"rollout": "r1", "split": 1 / 3, "sticky": False} | more
    return AnsweredRequest(request_id=request_id, step=step, candidate=candidate, at_s=at_s, **fields)


def outcome(request_id: str, *, correct: bool = True) -> Outcome:
    """Return the outcome of a request."""
    return Outcome(request_id=request_id, correct=correct)


def labelled(request_id: str, label: int) -> Outcome:
    """The class that should have been on top."""
    return Outcome(request_id=request_id, label=label)


def tell(
    store: Store,
    *outcomes: Outcome,
    running: str | None = "r1",
    model: str = "digits",
    asks: bool = True,
    now_s: float = 9.0,
) -> Feedback:
    """Post these outcomes while that rollout runs."""
    return store.learn(model, outcomes, None if running is None else Running(running, asks), now_s)
