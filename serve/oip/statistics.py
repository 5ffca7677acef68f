"""A tally in the format that Triton's clients expect for statistics."""

from serve.counting.tally import Tally
from serve.oip.answer_types import Duration, VariantStatistics

# We do not measure these separately, but the clients' types require them.
_NONE: Duration = {"count": 0, "ns": 0}


def model_statistics(name: str, variant: str, tally: Tally) -> VariantStatistics:
    """One entry of `model_stats`: the counts and nanoseconds of a variant's requests since the start.

    `inference_count` counts answered rows, `execution_count` runs; `compute_infer` is about runs, all other
    durations are about requests."""
    failed = tally.errors
    # Only one sum is kept, so a failed request counts with the mean latency.
    failed_ms = tally.latency.sum_ms * failed / tally.requests if tally.requests else 0.0
    return {
        "name": name,
        "version": variant,
        "last_inference": round(tally.last_s * 1e3),
        "inference_count": tally.rows,
        "execution_count": tally.runs.total(),
        "inference_stats": {
            "success": _duration(tally.requests - failed, tally.latency.sum_ms - failed_ms),
            "fail": _duration(failed, failed_ms),
            "queue": _duration(tally.queued.count, tally.queued.sum_ms),
            "compute_input": _NONE,
            "compute_infer": _duration(tally.runs.total(), sum(tally.run_ms.values())),
            "compute_output": _NONE,
            "cache_hit": _NONE,
            "cache_miss": _NONE,
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _NONE,
                "compute_infer": _duration(runs, tally.run_ms[rows]),
                "compute_output": _NONE,
            }
            for rows, runs in sorted(tally.runs.items())
        ],
        "memory_usage": [],
    }


def _duration(count: int, total_ms: float) -> Duration:
    return {"count": count, "ns": round(total_ms * 1e6)}
