"""Validity: whether the figures of a run may be trusted. All thresholds are here, each with its reason."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from loadtests.judging.aggregation import estimate_quantile
from loadtests.judging.contention import Contention, count_cores, is_contended, tell
from loadtests.judging.limits import Limits
from loadtests.judging.ratios import BEYOND, BLOCK_S, LEAST_BLOCKS, RATIO_CONFIDENCE
from loadtests.load_plan import LoadPlan
from loadtests.report import Check, CheckOutcome, Interval, Ratio, SenderReport
from loadtests.sending.samples import Samples

# Latency counts from the intended start, so what the sender is late stands in every figure. It may be a
# twentieth of the median, or a tenth of the limit: what it adds then decides nothing. Below 2 ms the
# scheduler of any machine is that late.
LATE_MS, LATE_OF_MEDIAN, LATE_OF_LIMIT = 2.0, 0.05, 0.1
# Above this share of its one core a sender has no room left for a burst, and reads answers late.
CPU_SHARE = 0.7
# A Poisson count is further from its mean than this many standard deviations in one run of 370.
ARRIVALS_DEVIATIONS = 3
# What the host gives to others, server and sender lack, in moments of up to a second: at 14 % a rate of a
# quarter of what the same server takes in a quiet minute was seen to fail (digits-resnet, two shared cores).
# A limit that holds all the same holds.
STOLEN = 0.05
# The medians of the three thirds of a steady run differ by no more than this, or by no more than chance.
DRIFT = 0.25


_OWN_FIGURES = "; it bears on the latency of each variant by itself, not on the comparison: mixed at random"


def is_stolen(steal: float | None) -> bool:
    """Whether a limit of time that was missed may be the fault of the machine's host; None: nobody knows."""
    return steal is not None and steal > STOLEN


def check_sender(  # noqa: PLR0913 - what was asked, what was sent, and what kept the sender from it
    plan: LoadPlan,
    limits: Limits,
    sender: SenderReport,
    samples: Samples,
    *,
    complete: bool,
    contention: Contention | None = None,
) -> list[Check]:
    """The gates of every run: the load was what it was meant to be."""
    gates = [_check_lateness(limits, sender, samples, contention), _check_cpu(sender), _check_pool(sender)]
    if complete:
        gates.append(_check_arrivals(plan, len(samples)))
    return gates


def check_samples(variants: Mapping[str, Samples], q: float) -> Check:
    """Whether there are enough answers for the q-quantile of each of these variants."""
    least = round(BEYOND / (1 - q))
    counts = {name: int(samples.timed.sum()) for name, samples in variants.items()}
    return _gate(
        "samples",
        f"answers: {', '.join(f'{count:,} of {name}' for name, count in counts.items()) or 'none'}",
        f"at least {least:,} of each, for {BEYOND} beyond p{100 * q:g}: run longer",
        good=bool(counts) and min(counts.values()) >= least,
        used=least / max(1, min(counts.values(), default=1)),
    )


def check_steady(samples: Samples, duration_s: float, *, mixed: bool = False) -> Check:
    """Whether the three thirds of a run at one rate have one median. Where variants are `mixed` at random,
    all had their share of each moment: it is a caveat on their own figures then, not on their comparison."""
    third = np.minimum((samples.intended_s / duration_s * 3).astype(int), 2)
    found = [
        estimate_quantile(np.sort(samples.latency_ms[samples.timed & (third == number)]), 0.5)
        for number in range(3)
    ]
    medians = [median for median in found if median is not None]
    apart = [
        max(one.value, other.value) / min(one.value, other.value) - 1
        for one, other in combinations(medians, 2)
        if _beyond_chance(one, other) and min(one.value, other.value) > 0
    ]
    gate = _gate(
        "steady state",
        f"medians of the thirds: {', '.join(f'{median.value:.3g}' for median in medians)} ms",
        f"within {DRIFT:.0%} of each other, or no further apart than chance: run longer, warm up longer, or "
        "use a quieter machine" + (_OWN_FIGURES if mixed else ""),
        good=not apart or max(apart) <= DRIFT,
        used=max(apart, default=0.0) / DRIFT,
    )
    return gate.model_copy(update={"kind": "caveat"}) if mixed else gate


def check_twins(twins: Ratio | None) -> Check:
    """Whether the baseline, split at random into two, is like itself: the intervals must know the noise."""
    if twins is None:
        return _gate(
            "A/A",
            "too short to compare the baseline with itself",
            f"at least {LEAST_BLOCKS * BLOCK_S:g} s",
            good=False,
        )
    return _gate(
        "A/A",
        f"two random halves of the baseline: p50 {twins.value:.3f}x [{twins.low:.3f}, {twins.high:.3f}]",
        f"an interval that holds 1: in {1 - RATIO_CONFIDENCE:.0%} of sound runs it does not; run longer",
        good=twins.low <= 1 <= twins.high,
    )


def _check_lateness(
    limits: Limits, sender: SenderReport, samples: Samples, contention: Contention | None
) -> Check:
    median = estimate_quantile(np.sort(samples.latency_ms[samples.timed]), 0.5)
    allowed = [LATE_MS, LATE_OF_MEDIAN * (median.value if median else 0)]
    if limits.p99_ms is not None:
        allowed.append(LATE_OF_LIMIT * limits.p99_ms)
    late = sender.lateness_p99_ms
    return _gate(
        "sender on time",
        "nothing was sent" if late is None else f"p99 of its lateness {late:.2f} ms",
        f"at most {max(allowed):.3g} ms: {_why_late(sender, contention)}",
        good=late is not None and late <= max(allowed),
        used=None if late is None else late / max(allowed),
    )


def _why_late(sender: SenderReport, contention: Contention | None) -> str:
    """What to do: a rate that leaves the sender room is not to blame where other programs had its core."""
    cores = count_cores()
    if sender.cpu_share > CPU_SHARE or contention is None or not is_contended(contention, cores):
        return "lower the rate, use more senders or a quieter machine"
    return (
        f"other programs of this machine had the CPU: {tell(contention, cores)}; stop them, or send from "
        "another machine"
    )


def _check_cpu(sender: SenderReport) -> Check:
    return _gate(
        "sender's CPU",
        f"{sender.cpu_share:.0%} of its core",
        f"at most {CPU_SHARE:.0%}: lower the rate, or use more senders (see loadtests/README.md)",
        good=sender.cpu_share <= CPU_SHARE,
        used=sender.cpu_share / CPU_SHARE,
    )


def _check_pool(sender: SenderReport) -> Check:
    return _gate(
        "room in flight",
        f"{sender.in_flight:,} at once, {sender.pool_full:,} times there was no room for one more",
        "room for every request at its time: the server is far beyond what it can do; lower the rate",
        good=not sender.pool_full,
    )


def _check_arrivals(plan: LoadPlan, sent: int) -> Check:
    expected = plan.requests
    # Even arrivals are exact but for the ends.
    allowed = ARRIVALS_DEVIATIONS * expected**0.5 if plan.arrivals == "poisson" else 2.0
    return _gate(
        "arrivals",
        f"{sent:,} sent",
        f"{expected:,.0f} +- {allowed:,.0f}, as the rate says: take another seed",
        good=abs(sent - expected) <= allowed,
        used=abs(sent - expected) / allowed,
    )


def _beyond_chance(one: Interval, other: Interval) -> bool:
    below, above = sorted((one, other), key=lambda estimate: estimate.value)
    return below.high is not None and above.low is not None and below.high < above.low


def _gate(name: str, seen: str, wanted: str, *, good: bool, used: float | None = None) -> Check:
    outcome = CheckOutcome.PASS if good else CheckOutcome.INVALID
    return Check(name=name, kind="gate", outcome=outcome, seen=seen, wanted=wanted, used=used)
