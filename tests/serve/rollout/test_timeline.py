"""The counts of the last ten minutes."""

from copy import deepcopy

from serve.counting.tally import EDGES_MS, Loads, Tally, VariantLoad
from serve.rollout.timeline import Timeline

DIGITS = ("digits", "fp32")


def loads(*latencies_ms: float, errors: int = 0, key: tuple[str, str] = DIGITS) -> Loads:
    """Return the load of one variant."""
    tally = Tally()
    for latency_ms in latencies_ms:
        tally.latency.record(latency_ms)
    tally.requests = len(latencies_ms)
    tally.failures["ModelFailed"] = errors
    return {key: VariantLoad(tally=tally, in_flight=0, waiting_rows=0)}


def edge(latency_ms: float) -> float:
    """Return the upper edge of the duration's bucket."""
    return min(edge for edge in EDGES_MS if edge >= latency_ms)


def test_curves_are_what_came_in_between() -> None:
    """Curves have the rates and quantiles of each interval of five seconds, or None without requests."""
    timeline = Timeline()
    timeline.note(0.0, loads(*[1.0] * 5))
    timeline.note(5.0, loads(*[1.0] * 5, *[20.0] * 10, errors=1))
    timeline.note(10.0, loads(*[1.0] * 5, *[20.0] * 10, errors=1))
    curves = timeline.curves("digits")
    curve = curves.variants["fp32"]
    assert curves.at_s == (5.0, 10.0)
    assert (curve.requests_per_s, curve.errors_per_s) == ((2.0, 0.0), (0.2, 0.0))
    assert (curve.p50_ms, curve.p99_ms) == ((edge(20), None), (edge(20), None))


def test_a_variant_that_comes_later_has_no_requests_before() -> None:
    """The curve of a new variant starts with zeros; other models are not included."""
    timeline = Timeline()
    other = loads(1.0, key=("minilm", "fp32"))
    timeline.note(0.0, loads(1.0) | other)
    timeline.note(5.0, loads(1.0) | other)
    timeline.note(10.0, loads(1.0) | other | loads(1.0, 1.0, key=("digits", "int8")))
    variants = timeline.curves("digits").variants
    assert {name: curve.requests_per_s for name, curve in variants.items()} == {
        "fp32": (0.0, 0.0),
        "int8": (0.0, 0.4),
    }


def test_it_is_noted_every_five_seconds() -> None:
    """The timeline has a point every five seconds, however often it is noted."""
    timeline = Timeline()
    for second in range(12):
        timeline.note(float(second), loads())
    assert timeline.curves("digits").at_s == (5.0, 10.0)


def test_ten_minutes_are_kept() -> None:
    """The curves have the last ten minutes."""
    timeline = Timeline()
    for second in range(0, 3605, 5):
        timeline.note(float(second), loads())
    at_s = timeline.curves("digits").at_s
    assert (len(at_s), at_s[0], at_s[-1]) == (120, 3005.0, 3600.0)


def test_counts_that_fell_are_no_negative_requests() -> None:
    """Counts that fell after a restart give a rate of 0."""
    timeline = Timeline()
    timeline.note(0.0, loads(*[1.0] * 50, errors=9))
    timeline.note(5.0, loads(1.0))
    curve = timeline.curves("digits").variants["fp32"]
    assert (curve.requests_per_s, curve.errors_per_s) == ((0.0,), (0.0,))


def test_nothing_noted_is_no_curve() -> None:
    """A new timeline has no curves."""
    assert (Timeline().curves("digits").at_s, Timeline().curves("digits").variants) == ((), {})


def test_a_quantile_is_of_the_last_ten_minutes() -> None:
    """A quantile covers the last ten minutes."""
    timeline, tally = Timeline(), Tally()
    for second in range(0, 3605, 5):
        for _ in range(100):
            tally.latency.record(900.0 if second < 3000 else 3.0)
        timeline.note(
            float(second), {DIGITS: VariantLoad(tally=deepcopy(tally), in_flight=0, waiting_rows=0)}
        )
    assert timeline.quantile_ms("digits", "fp32", 0.99) == edge(3.0)


def test_one_look_is_no_quantile() -> None:
    """A single note gives no quantile."""
    timeline = Timeline()
    timeline.note(0.0, loads(*[3.0] * 2000))
    assert timeline.quantile_ms("digits", "fp32", 0.99) is None


def test_latencies_are_kept_for_hours() -> None:
    """The history has a point every five seconds for ten minutes, and every five minutes before."""
    timeline = Timeline()
    for second in range(0, 30_005, 5):
        timeline.note(float(second), loads())
    at_s = [at_s for at_s, _ in timeline.history("digits", "fp32")]
    assert at_s == [*range(8400, 29_400, 300), *range(29_400, 30_005, 5)]
