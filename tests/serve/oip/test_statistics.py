import pytest

from serve.counting.tally import Tally
from serve.oip.statistics import model_statistics


@pytest.fixture
def tally() -> Tally:
    """Four requests of 10 ms, one of which failed; two runs of four rows and one of one row."""
    tally = Tally()
    tally.requests = 4
    tally.failures["ModelFailed"] = 1
    tally.rows = 6
    for _ in range(4):
        tally.latency.record(10.0)
        tally.queued.record(0.5)
    tally.runs.update({4: 2, 1: 1})
    tally.run_ms.update({4: 8, 1: 3})
    tally.last_s = 1_900_000_000.25
    return tally


def test_rows_and_runs_are_told_apart(tally: Tally) -> None:
    """The statistics give rows and runs separately, from which clients compute the mean batch."""
    statistics = model_statistics("linear", "light", tally)
    assert (statistics["name"], statistics["version"]) == ("linear", "light")
    assert (statistics["inference_count"], statistics["execution_count"]) == (6, 3)


def test_durations_are_nanoseconds(tally: Tally) -> None:
    """Counts and times are in nanoseconds; a failed request counts the mean time."""
    durations = model_statistics("linear", "light", tally)["inference_stats"]
    assert durations["success"] == {"count": 3, "ns": 30_000_000}
    assert durations["fail"] == {"count": 1, "ns": 10_000_000}
    assert durations["queue"] == {"count": 4, "ns": 2_000_000}
    assert durations["compute_infer"] == {"count": 3, "ns": 11_000_000}


def test_the_last_inference_is_in_milliseconds(tally: Tally) -> None:
    """The time of the last inference is in milliseconds since 1970."""
    assert model_statistics("linear", "light", tally)["last_inference"] == 1_900_000_000_250


def test_each_size_of_batch_has_its_runs(tally: Tally) -> None:
    """Batch sizes are listed in ascending order with their runs."""
    batches = model_statistics("linear", "light", tally)["batch_stats"]
    assert [(batch["batch_size"], batch["compute_infer"]) for batch in batches] == [
        (1, {"count": 1, "ns": 3_000_000}),
        (4, {"count": 2, "ns": 8_000_000}),
    ]


def test_a_variant_that_nobody_asked_has_zeros() -> None:
    """A variant without requests has zeros for every key of the clients' types."""
    statistics = model_statistics("linear", "light", Tally())
    assert statistics["last_inference"] == 0
    assert statistics["batch_stats"] == []
    assert set(statistics["inference_stats"]) == {
        "success",
        "fail",
        "queue",
        "compute_input",
        "compute_infer",
        "compute_output",
        "cache_hit",
        "cache_miss",
    }
    assert all(entry == {"count": 0, "ns": 0} for entry in statistics["inference_stats"].values())
