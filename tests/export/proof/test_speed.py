"""Speed is measured side by side on real rows, and a variant that is not faster has a warning."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.proof.curve import compare, find_knee, warn
from export.proof.rounds import BUDGET_S
from export.proof.speed import measure_speed
from serve.base.tensor import Arrays
from serve.bundles.figures import Estimate, Speed, SpeedPoint
from serve.engine.session import Session
from tests.export.graphs import conv_graph, encoder_graph, exported_of, images, texts


def point(rows: int, cpu_ms: float, speedup: Sequence[float], tokens: int | None = None) -> SpeedPoint:
    value, low, high = speedup
    return SpeedPoint(
        rows=rows,
        tokens=tokens,
        samples=7,
        cpu_p50_ms=cpu_ms,
        wall_p50_ms=cpu_ms,
        wall_p90_ms=None,
        wall_p99_ms=None,
        speedup=Estimate(value=value, low=low, high=high),
    )


@pytest.fixture(scope="module")
def speeds() -> dict[str, Speed]:
    """The speeds of a network of 64 channels and one of 4."""
    graphs = {"full": conv_graph(64), "slim": conv_graph(4)}
    sessions = {name: Session(graph, exported_of(graph).signature, name) for name, graph in graphs.items()}
    return measure_speed(sessions, graphs, images(20, 0), lambda _: None)


class Slow(Session):
    """A session whose runs advance a clock of its own by a fixed time per row."""

    def __init__(self, graph: bytes, name: str, row_s: float, clock: list[float]) -> None:
        super().__init__(graph, exported_of(graph).signature, name)
        self._row_s = row_s
        self._clock = clock
        # The rows of each run since the warm-up.
        self.rows: list[int] = []

    def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        if hasattr(self, "rows"):
            self.rows.append(len(next(iter(arrays.values()))))
            self._clock[0] += self._row_s * self.rows[-1]
        return {}


def measure_slow(
    monkeypatch: pytest.MonkeyPatch, lines: list[str] | None = None, **row_s: float
) -> tuple[dict[str, Slow], dict[str, Speed]]:
    """Measure sessions that take these times per row."""
    clock = [0.0]
    told: Any = SimpleNamespace(process_time=lambda: clock[0], perf_counter=lambda: clock[0])
    monkeypatch.setattr("export.proof.speed.time", told)
    graph = conv_graph(4)
    sessions = {name: Slow(graph, name, each, clock) for name, each in row_s.items()}
    speeds = measure_speed(
        sessions, dict.fromkeys(sessions, graph), images(20, 0), ([] if lines is None else lines).append
    )
    return sessions, speeds


@pytest.mark.parametrize(
    ("row_s", "sizes"),
    [(0.001, [1, 2, 4, 8, 16, 32, 64]), (0.04, [1, 2, 4, 8, 16]), (0.5, [1, 2]), (3.0, [1])],
)
def test_a_slow_model_is_measured_in_small_batches(
    monkeypatch: pytest.MonkeyPatch, row_s: float, sizes: list[int]
) -> None:
    """For a slow model the batch sizes are limited so that 8 runs of each take at most 20 s."""
    sessions, speeds = measure_slow(monkeypatch, fp32=row_s, int8=row_s / 2)
    assert [item.rows for item in speeds["int8"].points] == sizes
    assert sum(sessions["fp32"].rows) * row_s <= BUDGET_S
    assert speeds["int8"].points[-1].speedup.value == pytest.approx(2)


def test_a_model_slower_than_the_bound_is_run_five_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that exceeds the time limit is run five times: two runs estimate its time, three are
    measured."""
    sessions, speeds = measure_slow(monkeypatch, fp32=30.0)
    assert sessions["fp32"].rows == [1] * 5
    assert [(item.rows, item.samples) for item in speeds["fp32"].points] == [(1, 3)]


def test_the_slowest_variant_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slowest variant limits the batch sizes, and all variants are measured at the same ones."""
    sessions, speeds = measure_slow(monkeypatch, fp32=0.01, big=1.0)
    assert sessions["fp32"].rows == sessions["big"].rows
    assert sum(sessions["big"].rows) <= BUDGET_S
    assert [item.rows for item in speeds["fp32"].points] == [1]


def test_every_variant_tells_of_every_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variant logs a line per batch size with its time and its ratio to the baseline."""
    lines: list[str] = []
    measure_slow(monkeypatch, lines, fp32=0.5, int8=0.25)
    assert lines == [
        "speed: one row of each of fp32, int8",
        "speed: fp32: 1 row takes 500 ms of CPU time",
        "speed: int8: 1 row takes 250 ms of CPU time, 2.00x as fast as fp32",
        "speed: fp32: 2 rows take 1,000 ms of CPU time",
        "speed: int8: 2 rows take 500 ms of CPU time, 2.00x as fast as fp32",
    ]


def test_every_batch_size_has_its_samples(speeds: dict[str, Speed]) -> None:
    """Batch sizes go from 1 to 64, with at least 7 samples, as many for each variant."""
    full, slim = speeds["full"].points, speeds["slim"].points
    assert [item.rows for item in full] == [1, 2, 4, 8, 16, 32, 64]
    assert [item.samples for item in full] == [item.samples for item in slim]
    assert min(item.samples for item in full) >= 7


def test_a_percentile_needs_samples_behind_it(speeds: dict[str, Speed]) -> None:
    """A 90th percentile needs 20 samples, and a 99th needs 100."""
    for item in speeds["full"].points:
        assert (item.wall_p90_ms is None) == (item.samples < 20)
        assert (item.wall_p99_ms is None) == (item.samples < 100)


def test_a_sixteenth_of_the_work_is_faster(speeds: dict[str, Speed]) -> None:
    """With 4 channels instead of 64 a batch of 64 is at least twice as fast; the baseline's ratio is 1."""
    assert speeds["slim"].points[-1].speedup.low > 2
    assert speeds["full"].points[-1].speedup == Estimate(value=1, low=1, high=1)
    assert speeds["full"].warning is None


def test_a_loaded_session_takes_memory(speeds: dict[str, Speed]) -> None:
    """A session's memory is more than its weights and less than 1 GiB."""
    assert 4 * 64 * 64 * 9 < speeds["full"].session_bytes < 1 << 30


def test_text_is_cut_to_lengths_that_it_has() -> None:
    """Texts are measured at lengths that occur: 12 tokens here, and not 16."""
    graph = encoder_graph(1)
    sessions = {"fp32": Session(graph, exported_of(graph).signature, "fp32")}
    [speed] = measure_speed(sessions, {"fp32": graph}, texts(40, 0), lambda _: None).values()
    assert {item.tokens for item in speed.points} == {12}


def test_noise_that_both_share_is_no_difference() -> None:
    """If a variant takes half the time in every round, the ratio is 2, however rounds vary."""
    baseline = np.random.default_rng(0).lognormal(size=50)
    speedup = compare(baseline, baseline / 2, seed=0)
    assert (speedup.value, speedup.low, speedup.high) == pytest.approx((2, 2, 2))


def test_the_knee_is_where_more_rows_stop_paying() -> None:
    """The knee is the smallest batch whose cost per row is within a tenth of the best one's."""
    same = (1, 1, 1)
    costs = {1: 3.0, 4: 2.0, 8: 1.05, 64: 1.0}
    assert find_knee([point(rows, rows * cost, same) for rows, cost in costs.items()]) == 8


def test_of_several_lengths_the_largest_knee_counts() -> None:
    """With several lengths the knee is the largest of theirs."""
    same = (1, 1, 1)
    points = [point(1, 1, same, 128), point(8, 8, same, 128), point(1, 1, same, 16), point(8, 4, same, 16)]
    assert find_knee(points) == 8


def test_a_variant_that_is_faster_everywhere_needs_no_warning() -> None:
    """There is no warning if every interval of the speed-up is above 1."""
    assert warn([point(1, 1, (1.2, 1.1, 1.3)), point(2, 1, (2, 1.9, 2.1))], "fp32") is None


def test_a_variant_that_is_slower_somewhere_says_where() -> None:
    """The warning says where a variant is slower, where it is unproven and where it is faster."""
    points = [
        point(1, 1, (0.85, 0.8, 0.91)),
        point(2, 1, (1.02, 0.95, 1.1)),
        point(4, 1, (1.5, 1.4, 1.6)),
        point(8, 1, (1.6, 1.5, 1.7)),
    ]
    assert warn(points, "fp32") == (
        "slower than fp32 at 1 row, worst 0.85x [0.80, 0.91] at 1 row; "
        "not proven faster than fp32 at 2 rows; faster at 4 and 8 rows"
    )


def test_a_variant_that_is_nowhere_faster_says_so() -> None:
    """The warning of a variant that is nowhere faster gives its best and its worst ratio."""
    points = [point(1, 1, (1.01, 0.98, 1.03), 16), point(8, 1, (0.9, 0.8, 0.95), 16)]
    assert warn(points, "fp32") == (
        "nowhere faster than fp32: at best 1.01x [0.98, 1.03] at 1 row of 16 tokens; "
        "slower than fp32 at 8 rows of 16 tokens, worst 0.90x [0.80, 0.95] at 8 rows of 16 tokens"
    )
