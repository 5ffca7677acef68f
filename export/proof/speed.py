"""Measures the CPU time of all variants and the baseline in turns, on real rows."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from export.data.datasets import Split
from export.data.inputs import TOKENS
from export.proof.bootstrap import Floats
from export.proof.curve import compare, find_knee, warn
from export.proof.rounds import BUDGET_S, ENOUGH_S, FEWEST_ROUNDS, MOST_ROUNDS, count_rounds
from export.proof.session_memory import measure_session_bytes
from serve.base.tensor import Arrays
from serve.bundles.figures import Estimate, Speed, SpeedPoint
from serve.bundles.onnx_graph import Graph
from serve.engine.session import Session

Announce = Callable[[str], object]
_ROWS = (1, 2, 4, 8, 16, 32, 64)
_TOKENS = (16, 64, 128)
_THREADS = 1
# A percentile needs at least two samples beyond it.
_SAMPLES_FOR_P90 = 20
_SAMPLES_FOR_P99 = 100


@dataclass(frozen=True, kw_only=True)
class _Samples:
    """One variant at one batch size; all times in seconds, [rounds], from the same rounds for all
    variants."""

    cpu_s: Floats
    wall_s: Floats


def measure_speed(
    sessions: Mapping[str, Session], graphs: Mapping[str, Graph], split: Split, announce: Announce
) -> dict[str, Speed]:
    """Measure each variant; the first is the baseline. `sessions` run with one thread each, and `graphs` are
    their sources.

    Rows come from `split`; text is cut to lengths that occur in it. Each variant gets about `BUDGET_S` of CPU
    time, and five runs of one row of each length if these take longer; batch sizes for which there is no time
    are left out. `announce` receives the result of each variant at each batch size."""
    baseline = next(iter(sessions))
    points: dict[str, list[SpeedPoint]] = {name: [] for name in sessions}
    lengths = _lengths(split)
    announce(f"speed: one row of each of {', '.join(sessions)}")
    for tokens in lengths:
        for measured in _measure_length(sessions, split, tokens, BUDGET_S / len(lengths)):
            for name, point in measured.items():
                points[name].append(point)
                announce(f"speed: {name}: {_tell(point, None if name == baseline else baseline)}")
    return {
        name: Speed(
            threads=_THREADS,
            session_bytes=measure_session_bytes(graphs[name], session),
            points=tuple(points[name]),
            knee_rows=find_knee(points[name]),
            warning=None if name == baseline else warn(points[name], baseline),
        )
        for name, session in sessions.items()
    }


def measure_batch(sessions: Mapping[str, Session], split: Split, rows: int) -> dict[str, SpeedPoint]:
    """Measure each session with one batch of so many rows of `split`, all in one run; the first is the
    baseline."""
    return _summarize(rows, None, _sample(sessions, _take(split, rows, None), FEWEST_ROUNDS, seed=rows))


def _measure_length(
    sessions: Mapping[str, Session], split: Split, tokens: int | None, left_s: float
) -> Iterator[dict[str, SpeedPoint]]:
    """Yield the points of each batch size, until the slowest variant has no time left for the next."""
    row_s = _run_each(sessions, _take(split, 1, tokens))
    left_s -= row_s
    for rows in _ROWS:
        if not (rounds := count_rounds(rows, row_s, left_s)):
            return
        samples = _sample(sessions, _take(split, rows, tokens), rounds, seed=rows)
        run_s = max(float(np.median(item.cpu_s)) for item in samples.values())
        left_s -= max(float(item.cpu_s.sum()) for item in samples.values()) + run_s
        row_s = run_s / rows
        yield _summarize(rows, tokens, samples)


def _lengths(split: Split) -> list[int | None]:
    if split.lengths is None:
        return [None]
    longest = int(split.lengths.max())
    return [tokens for tokens in _TOKENS if tokens <= longest] or [longest]


def _take(split: Split, rows: int, tokens: int | None) -> Arrays:
    """Return this number of rows, repeated if needed; for text, from the rows that are long enough, cut to
    this length."""
    if split.lengths is None or tokens is None:
        return split.take_like(rows)
    enough = np.flatnonzero(split.lengths >= tokens)
    arrays = split.take(np.resize(enough, rows))
    return {
        name: np.ascontiguousarray(array[:, :tokens]) if TOKENS in split.dims[name] else array
        for name, array in arrays.items()
    }


def _run_each(sessions: Mapping[str, Session], inputs: Arrays) -> float:
    """Run every variant once, because the first run of a size allocates memory; return the highest CPU
    time."""
    slowest_s = 0.0
    for session in sessions.values():
        started_s = time.process_time()
        session.run(inputs)
        slowest_s = max(slowest_s, time.process_time() - started_s)
    return slowest_s


def _sample(sessions: Mapping[str, Session], inputs: Arrays, rounds: int, seed: int) -> dict[str, _Samples]:
    """Run at least this number of rounds. In each, every variant runs once, in random order, so that
    disturbances affect all alike."""
    random = np.random.default_rng(seed)
    names = list(sessions)
    _run_each(sessions, inputs)
    cpu_s: dict[str, list[float]] = {name: [] for name in names}
    wall_s: dict[str, list[float]] = {name: [] for name in names}
    started_s = time.process_time()
    for done in range(MOST_ROUNDS):
        if done >= rounds and time.process_time() - started_s > ENOUGH_S * len(names):
            break
        for at in random.permutation(len(names)):
            # CPU time of the whole process, because onnxruntime may have its own threads.
            wall, cpu = time.perf_counter(), time.process_time()
            sessions[names[at]].run(inputs)
            cpu_s[names[at]].append(time.process_time() - cpu)
            wall_s[names[at]].append(time.perf_counter() - wall)
    return {name: _Samples(cpu_s=np.array(cpu_s[name]), wall_s=np.array(wall_s[name])) for name in names}


def _summarize(rows: int, tokens: int | None, samples: Mapping[str, _Samples]) -> dict[str, SpeedPoint]:
    """Return each variant's point relative to the first, the baseline."""
    baseline = next(iter(samples))
    return {
        name: _point(
            rows,
            tokens,
            item,
            Estimate(value=1, low=1, high=1)
            if name == baseline
            else compare(samples[baseline].cpu_s, item.cpu_s, seed=rows),
        )
        for name, item in samples.items()
    }


def _point(rows: int, tokens: int | None, samples: _Samples, speedup: Estimate) -> SpeedPoint:
    count = len(samples.wall_s)
    p50, p90, p99 = (float(1000 * value) for value in np.percentile(samples.wall_s, [50, 90, 99]))
    return SpeedPoint(
        rows=rows,
        tokens=tokens,
        samples=count,
        cpu_p50_ms=float(1000 * np.median(samples.cpu_s)),
        wall_p50_ms=p50,
        wall_p90_ms=p90 if count >= _SAMPLES_FOR_P90 else None,
        wall_p99_ms=p99 if count >= _SAMPLES_FOR_P99 else None,
        speedup=speedup,
    )


def _tell(point: SpeedPoint, baseline: str | None) -> str:
    """Describe a point, such as "8 rows of 16 tokens take 3.1 ms of CPU time, 1.42x as fast as fp32"."""
    rows = f"{point.rows} rows" if point.rows > 1 else "1 row"
    length = f" of {point.tokens} tokens" if point.tokens else ""
    beside = f", {point.speedup.value:.2f}x as fast as {baseline}" if baseline else ""
    verb = "take" if point.rows > 1 else "takes"
    return f"{rows}{length} {verb} {_ms(point.cpu_p50_ms)} ms of CPU time{beside}"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
