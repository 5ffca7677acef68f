"""Measure the variants of a known server and print the results as JSON.

This is a program of its own, because `measure` patches the process."""

import json
import sys
from collections.abc import Callable
from typing import Any

from loadtests.load_plan import LoadPlan, steady
from loadtests.sending import measure as measuring
from loadtests.sending.client import Client
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.measure import LoadTarget, measure
from loadtests.sending.model_metadata import read_metadata
from loadtests.sending.payloads import make_payloads
from tests.loadtests.known_server import MODEL


def _measure(
    url: str,
    variant: str,
    *,
    duration_s: float,
    is_enough: Callable[[LiveCounters, float], bool] | None = None,
) -> Any:
    """100 requests a second to this variant."""
    metadata = read_metadata(Client(url=url), MODEL)
    target = LoadTarget(metadata=metadata, payloads=make_payloads(metadata, 0), headers={})
    plan = LoadPlan(
        url=url, model=MODEL, profile=steady(100, duration_s), warmup_s=0.3, seed=0, pinned=(variant,)
    )
    measured = measure(plan, target, 1000, is_enough)
    samples = measured.samples
    return {
        "complete": measured.complete,
        "sent_until_s": measured.sent_until_s,
        "intended_s": samples.intended_s.tolist(),
        "sent_s": samples.sent_s.tolist(),
        "done_s": samples.done_s.tolist(),
        "errors": [samples.words[number] for number in samples.error if number >= 0],
    }


def _main(url: str) -> None:
    found = {
        "stall": _measure(url, "stall", duration_s=3),
        "slow": _measure(url, "slow", duration_s=2),
        "enough": _measure(url, "quick", duration_s=60, is_enough=lambda live, now_s: live.done >= 50),
    }
    measuring.DRAIN_S = 0.5
    found["hangs"] = _measure(url, "hangs", duration_s=0.5)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    _main(sys.argv[1])
