"""A gateway reports its counts in deltas, and each count arrives once."""

import math
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from serve.counting.count_delta import Choice, Count, CountDelta, VariantRun
from serve.counting.ledger import Ledger, read_ledger
from serve.counting.rollout_counter import RolloutCounter, Watch
from serve.counting.shadow_results import ShadowResults, add_copies
from serve.rollout.evidence.evidence import Comparison, Evidence
from serve.rollout.judging.gather import gather
from serve.rollout.state.rollout import RolloutPlan
from tests.serve.rollout.local_keeper import shown

WATCH = Watch(rollout="r1", baseline="fp32", candidate="int8", limit_ms=10.0, feedback=True)
CHOICE: Choice = (2, False, "int8")
STICKY: Choice = (2, True, "int8")
PLAN = RolloutPlan(model="digits", baseline="fp32", candidate="int8")


def count(counter: RolloutCounter, request_id: str = "a", ms: float = 1.0) -> None:
    counter.count(CHOICE, failed=False, ms=ms, request_id=request_id)


def sheet_of(counter: RolloutCounter) -> CountDelta:
    delta = counter.delta(2, {})
    assert delta is not None
    return delta


def test_nothing_counted_is_nothing_to_tell() -> None:
    """Without requests there is no delta, and no number is used."""
    counter = RolloutCounter(WATCH)
    assert counter.delta(2, {"int8": (5, 1.0)}) is None


def test_a_sheet_is_told_until_it_is_acknowledged() -> None:
    """The same delta is sent until it is acknowledged; then the next one has the later counts."""
    counter = RolloutCounter(WATCH)
    count(counter)
    first = sheet_of(counter)
    count(counter)
    assert sheet_of(counter) is first
    assert first.counts[CHOICE].requests == 1
    counter.acknowledge(first.number)
    assert (first.number, sheet_of(counter).number, sheet_of(counter).counts[CHOICE].requests) == (1, 2, 1)


def test_an_old_acknowledgement_is_of_an_old_delta() -> None:
    """An acknowledgement of an earlier delta does not affect the current one."""
    counter = RolloutCounter(WATCH)
    count(counter)
    counter.acknowledge(sheet_of(counter).number)
    count(counter)
    second = sheet_of(counter)
    counter.acknowledge(1)
    assert sheet_of(counter) is second


def test_a_sheet_has_all_that_was_counted() -> None:
    """A delta has the requests by choice, the copies, the differing pairs and the answered ids."""
    counter = RolloutCounter(WATCH)
    count(counter, "a")
    count(counter, "", ms=10.1)
    counter.count((2, True, "fp32"), failed=True, ms=1.0, request_id="")
    counter.copies.dropped = 3
    counter.disagreements.append(shown(1))
    delta = sheet_of(counter)
    assert {choice: (c.requests, c.errors, c.over_limit) for choice, c in delta.counts.items()} == {
        CHOICE: (2, 0, 1),
        (2, True, "fp32"): (1, 1, 0),
    }
    assert (delta.answered, delta.copies.dropped) == ((("a", CHOICE),), 3)
    assert delta.disagreements == (shown(1),)


def test_a_request_counts_when_it_is_admitted() -> None:
    """A request counts on admission; its error or lateness is reported in a later delta."""
    counter = RolloutCounter(WATCH)
    admitted = counter.admit(CHOICE, None)
    first = sheet_of(counter)
    counter.acknowledge(first.number)
    counter.end(admitted, failed=True, ms=10.1, request_id="")
    assert first.counts == {CHOICE: Count(requests=1)}
    assert sheet_of(counter).counts == {CHOICE: Count(errors=1, over_limit=1)}


def test_what_was_never_answered_is_over_every_limit() -> None:
    """A request without an answer counts as over the limit, even if the limit is unknown."""
    counter = RolloutCounter(WATCH.model_copy(update={"limit_ms": None}))
    counter.count(CHOICE, failed=False, ms=math.inf, request_id="")
    assert sheet_of(counter).counts == {CHOICE: Count(requests=1, over_limit=1)}


def test_a_request_is_held_against_the_limits_that_it_was_admitted_under() -> None:
    """A request is compared with the limits at its admission; an unknown limit is not counted."""
    counter = RolloutCounter(WATCH.model_copy(update={"quantile_limits_ms": (5.0, 20.0, None)}))
    admitted = counter.admit((2, True, "int8"), 7)
    counter.watch = WATCH.model_copy(update={"quantile_limits_ms": (1.0, 1.0, 1.0)})
    counter.end(admitted, failed=False, ms=9.0, request_id="")
    count = sheet_of(counter).counts[2, True, "int8"]
    assert (count.timed_quantiles, count.over_quantiles) == ([1, 1, 0], [1, 0, 0])
    assert (count.keys[7].timed_quantiles, count.keys[7].over_quantiles) == ([1, 1, 0], [1, 0, 0])


def test_what_was_never_answered_is_over_every_quantiles_limit() -> None:
    """A request without an answer is over each known limit of a quantile."""
    counter = RolloutCounter(WATCH.model_copy(update={"quantile_limits_ms": (5.0, 20.0, None)}))
    counter.count(CHOICE, failed=False, ms=math.inf, request_id="")
    assert sheet_of(counter).counts[CHOICE].over_quantiles == [1, 1, 0]


def test_keys_are_counted_by_their_buckets_too() -> None:
    """Requests are also counted by their key's bucket, so that one bad key can be told from a bad variant."""
    counter = RolloutCounter(WATCH)
    for bucket, failed in ((7, False), (7, True), (9, False)):
        counter.count((2, True, "int8"), failed=failed, ms=1.0, request_id="", bucket=bucket)
    keys = {7: Count(requests=2, errors=1), 9: Count(requests=1)}
    assert sheet_of(counter).counts == {(2, True, "int8"): Count(requests=3, errors=1, keys=keys)}


def test_copies_alone_are_worth_a_delta() -> None:
    """Copies without requests also give a delta."""
    counter = RolloutCounter(WATCH)
    counter.copies.dropped = 1
    assert sheet_of(counter).counts == {}


def test_what_a_gateway_holds_is_bounded() -> None:
    """A delta keeps the 100,000 newest ids and the 20 newest pairs, and its counts are complete."""
    counter = RolloutCounter(WATCH)
    for number in range(100_050):
        count(counter, str(number))
    counter.disagreements.extend(shown(number) for number in range(50))
    delta = sheet_of(counter)
    assert (len(delta.answered), delta.answered[-1][0]) == (100_000, "100049")
    assert delta.counts[CHOICE].requests == 100_050
    assert [each.request_id for each in delta.disagreements] == [f"r{number}" for number in range(30, 50)]


def test_slices_are_bounded() -> None:
    """At most 32 slices are counted by name; all others count as `other`."""
    copies = ShadowResults()
    for number in range(100):
        add_copies(copies, ShadowResults(slices={f"s{number}": Comparison(pairs=1)}))
    assert (len(copies.slices), copies.slices["other"].pairs, copies.slices["s31"].pairs) == (33, 68, 1)


def test_runs_are_those_since_the_sheet_before() -> None:
    """A delta has the runs since the delta before it, as long as the routes did not change."""
    counter = RolloutCounter(WATCH)
    runs = []
    for revision, rows in ((2, 10), (2, 15), (3, 25), (3, 25), (3, 26)):
        count(counter)
        delta = counter.delta(revision, {"int8": (rows, 2.0 * rows)})
        assert delta is not None
        counter.acknowledge(delta.number)
        runs.append(dict(delta.runs))
    assert runs == [
        {},
        {"int8": VariantRun(revision=2, rows=5, cpu_ms=10.0)},
        {},
        {},
        {"int8": VariantRun(revision=3, rows=1, cpu_ms=2.0)},
    ]


class Keeper:
    """Takes deltas as the controller does; a kill loses what it had not kept."""

    def __init__(self) -> None:
        self.kept = Evidence()
        self._waiting: list[tuple[str, CountDelta]] = []
        self._came = 0

    def take(self, delta: CountDelta) -> None:
        """A delta, which may have come before."""
        if delta.number > self._came:
            self._came = delta.number
            self._waiting.append(("one", delta))

    def keep(self) -> None:
        """Keep the deltas that came."""
        self.kept = gather(self.kept, self._waiting, PLAN, {2: (1, 0.1)}, (0.0, 1.0))
        self._waiting = []

    def forget(self) -> None:
        """Forget all that was not kept, as a killed keeper does."""
        self._came, self._waiting = self.kept.sheets.get("one", 0), []


@given(moves=st.lists(st.sampled_from(["count", "tell", "say nothing back", "keep", "forget"]), max_size=60))
def test_each_count_arrives_once(moves: list[str]) -> None:
    """Each count arrives once, even if replies are lost and the keeper forgets unwritten deltas."""
    counter, keeper, counted = RolloutCounter(WATCH), Keeper(), Counter[str]()
    for move in [*moves, "tell", "keep", "tell", "tell", "keep"]:
        if move == "count":
            counted["int8"] += 1
            count(counter)
        elif move in ("tell", "say nothing back"):
            if (delta := counter.delta(2, {})) is not None:
                keeper.take(delta)
            if move == "tell" and (written := keeper.kept.sheets.get("one")) is not None:
                counter.acknowledge(written)
        elif move == "keep":
            keeper.keep()
        else:
            keeper.forget()
    assert sum(segment.requests.candidate for segment in keeper.kept.segments) == counted["int8"]


def test_what_is_counted_stands_in_the_ledger(tmp_path: Path) -> None:
    """The ledger has each unacknowledged delta and the requests in flight."""
    path = tmp_path / "one.1.ledger"
    ledger = Ledger(path, {"model": "digits", "rollout": "r1", "baseline": "fp32", "candidate": "int8"})
    counter, seen = RolloutCounter(WATCH, ledger), []
    for _ in range(3):
        counter.end(counter.admit(STICKY, 5), failed=True, ms=99.0, request_id="")
        counter.admit(STICKY, 5)
        counter.delta(2, {})
        deltas = read_ledger(path).deltas
        seen.append(
            {(number, line.bucket): line.numbers for number, lines in deltas.items() for line in lines}
        )
        in_flight = {line.in_flight for line in deltas[max(deltas)]}
        counter.acknowledge(1)
    whole, none = [2, 1, 1], [0, 0, 0]
    assert seen == [
        {(1, None): whole, (1, 5): whole, (2, None): none, (2, 5): none},
        {(2, None): whole, (2, 5): whole, (3, None): none, (3, 5): none},
        {(2, None): whole, (2, 5): whole, (3, None): whole, (3, 5): whole},
    ]
    assert in_flight == {3}
