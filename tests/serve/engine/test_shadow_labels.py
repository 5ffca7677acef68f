"""What a shadow keeps of answers for which labels may come."""

import asyncio

import numpy as np
import pytest

from serve.counting.shadow_results import ShadowResults, add_copies
from tests.serve.clock import run
from tests.serve.host import Host
from tests.serve.served_model import ask, request_of, routes
from tests.serve.shadows import LATER_S, WATCH, Odd, copies_of, other, shadowed


def answered(light: Host, *, feedback: bool = True, rows: int = 1, request_id: str = "a1") -> ShadowResults:
    """Return the copies of a rollout after one request."""

    async def scenario() -> ShadowResults:
        async with shadowed({"base": Host(), "light": light}) as model:
            watch = WATCH.model_copy(update={"feedback": feedback})
            model.route(routes({"base": 1}, {"light": 1.0}), watch)
            await ask(model, request_of(0, count=rows), request_id=request_id)
            await asyncio.sleep(LATER_S)
            return copies_of(model)

    return run(scenario())


def test_the_classes_of_both_answers_are_kept() -> None:
    """A pair's two classes are kept by the request's id, with the number of classes."""
    copies = answered(Odd(other))
    assert (copies.matched, copies.classes) == ({"a1": (0, 1)}, 3)


@pytest.mark.parametrize(
    "case", [{"feedback": False}, {"rows": 2}, {"request_id": ""}], ids=["not asked", "two rows", "no id"]
)
def test_what_no_label_can_come_for_is_not_kept(case: dict[str, bool | int | str]) -> None:
    """A pair is compared but its classes are not kept if no label can refer to it."""
    copies = answered(Odd(other), **case)  # type: ignore[arg-type]
    assert copies.pairs.pairs > 0
    assert (copies.matched, copies.classes) == ({}, 0)


def test_an_answer_without_numbers_says_no_class() -> None:
    """A pair whose answer is NaN differs, and its classes are not kept."""
    copies = answered(Odd(lambda y: y * np.nan))
    assert (copies.pairs.disagreements, copies.matched) == (1, {})


def test_a_gateway_keeps_so_many_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most `_MOST_MATCHED` requests are kept until a keeper has taken them."""
    monkeypatch.setattr("serve.counting.shadow_results._MOST_MATCHED", 2)
    total = ShadowResults()
    for request_id in "abc":
        add_copies(total, ShadowResults(matched={request_id: (1, 2)}, classes=3))
    assert (total.matched, total.classes) == ({"a": (1, 2), "b": (1, 2)}, 3)
