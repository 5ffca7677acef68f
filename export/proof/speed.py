"""Speed: what each variant costs on this machine, all of them and the baseline in turn, on real rows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.data.datasets import Split
from export.data.inputs import TOKENS
from export.proof.bootstrap import Floats
from export.proof.curve import compare, find_knee, warn
from export.proof.memory import measure_session_bytes
from serve.figures import Estimate, Speed, SpeedPoint
from serve.session import Session
from serve.tensor import Arrays

_ROWS = (1, 2, 4, 8, 16, 32, 64)
_TOKENS = (16, 64, 128)
_THREADS = 1
# A median of fewer says nothing; more would only take longer.
_FEWEST_ROUNDS = 7
_MOST_ROUNDS = 200
# CPU time for each variant at each batch size, if the fewest rounds do not take longer.
_BUDGET_S = 0.4
# A percentile rests on two samples beyond it at least.
_SAMPLES_FOR_P90 = 20
_SAMPLES_FOR_P99 = 100


@dataclass(frozen=True, kw_only=True)
class _Samples:
    """One variant at one batch size; all in seconds, [rounds], round by round beside the other variants."""

    cpu_s: Floats
    wall_s: Floats


def measure_speed(
    sessions: Mapping[str, Session],
    graphs: Mapping[str, bytes],
    split: Split,
    announce: Callable[[str], object],
) -> dict[str, Speed]:
    """What each variant costs, the first of them being the baseline; `sessions` run one thread each, `graphs`
    are what they were loaded from. Rows come from `split`; text is cut to lengths that its rows have."""
    baseline = next(iter(sessions))
    points: dict[str, list[SpeedPoint]] = {name: [] for name in sessions}
    places = [(rows, tokens) for tokens in _lengths(split) for rows in _ROWS]
    for number, (rows, tokens) in enumerate(places):
        announce(f"speed: {rows} rows{f' of {tokens} tokens' if tokens else ''}")
        samples = _sample(sessions, _take(split, rows, tokens), seed=number)
        for name in sessions:
            speedup = Estimate(value=1, low=1, high=1)
            if name != baseline:
                speedup = compare(samples[baseline].cpu_s, samples[name].cpu_s, seed=number)
            points[name].append(_summarize(rows, tokens, samples[name], speedup))
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


def _lengths(split: Split) -> list[int | None]:
    if split.lengths is None:
        return [None]
    longest = int(split.lengths.max())
    return [tokens for tokens in _TOKENS if tokens <= longest] or [longest]


def _take(split: Split, rows: int, tokens: int | None) -> Arrays:
    """So many rows, read in circles; for text, of those that are long enough, cut to this length."""
    if split.lengths is None or tokens is None:
        return split.take(np.arange(rows, dtype=np.int64) % len(split))
    enough = np.flatnonzero(split.lengths >= tokens)
    arrays = split.take(np.resize(enough, rows))
    return {
        name: np.ascontiguousarray(array[:, :tokens]) if TOKENS in split.dims[name] else array
        for name, array in arrays.items()
    }


def _sample(sessions: Mapping[str, Session], inputs: Arrays, seed: int) -> dict[str, _Samples]:
    """Rounds in each of which every variant runs once, in an order of its own: what disturbs the machine
    disturbs them alike."""
    random = np.random.default_rng(seed)
    names = list(sessions)
    for session in sessions.values():
        session.run(inputs)  # the first run of a size allocates
    cpu_s: dict[str, list[float]] = {name: [] for name in names}
    wall_s: dict[str, list[float]] = {name: [] for name in names}
    started_s = time.process_time()
    for done in range(_MOST_ROUNDS):
        if done >= _FEWEST_ROUNDS and time.process_time() - started_s > _BUDGET_S * len(names):
            break
        for at in random.permutation(len(names)):
            # Of the process: onnxruntime may have threads of its own.
            wall, cpu = time.perf_counter(), time.process_time()
            sessions[names[at]].run(inputs)
            cpu_s[names[at]].append(time.process_time() - cpu)
            wall_s[names[at]].append(time.perf_counter() - wall)
    return {name: _Samples(cpu_s=np.array(cpu_s[name]), wall_s=np.array(wall_s[name])) for name in names}


def _summarize(rows: int, tokens: int | None, samples: _Samples, speedup: Estimate) -> SpeedPoint:
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
