"""Gates that decide whether the figures of a run can be trusted. All thresholds are here, with their
reasons."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from loadtests.candidate_comparison import Ratio
from loadtests.judging.aggregation import estimate_quantile
from loadtests.judging.contention import Contention, count_cores, describe_contention, is_contended
from loadtests.judging.limits import Limits
from loadtests.judging.ratios import BEYOND, BLOCK_S, LEAST_BLOCKS, RATIO_CONFIDENCE
from loadtests.judging.run_length import say_longer
from loadtests.load_plan import LoadPlan
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.report import SenderReport
from loadtests.sending.samples import Samples
from loadtests.variant_report import Interval

# Latency is measured from the scheduled start, so the sender's delay is part of every latency. A twentieth of
# the median or a tenth of the limit is too little to affect a decision. Below 2 ms, the scheduler of any
# machine causes such delays.
LATE_MS, LATE_OF_MEDIAN, LATE_OF_LIMIT = 2.0, 0.05, 0.1
# Above this share of its one core, a sender cannot absorb bursts and reads answers late.
CPU_SHARE = 0.7
# In one run of 370, a Poisson count is further from its mean than this number of standard deviations.
ARRIVALS_DEVIATIONS = 3
# CPU time that the host gives to other guests is missing to server and sender for up to a second at a time.
# At 14 %, a rate of a quarter of the server's capacity has failed (digits-resnet, two shared cores). A limit
# that is kept in spite of it is kept.
STOLEN = 0.05
# In a steady run, the medians of the three thirds differ by at most this share, or by no more than chance
# explains.
DRIFT = 0.25


_OWN_FIGURES = "; this affects each variant's own latency, but not the comparison, which is mixed at random"


def is_stolen(steal: float | None) -> bool:
    """Return whether the machine's host may explain a missed limit on time; None if it is not known."""
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
    """Return the gates that every run has: the actual load was the planned load."""
    gates = [_check_lateness(limits, sender, samples, contention), _check_cpu(sender), _check_pool(sender)]
    if complete:
        gates.append(_check_arrivals(plan, len(samples)))
    return gates


def check_samples(variants: Mapping[str, Samples], q: float) -> Check:
    """Check that each of these variants has enough answers for the q-quantile."""
    least = round(BEYOND / (1 - q))
    counts = {name: int(samples.timed.sum()) for name, samples in variants.items()}
    fewest = min(counts.values(), default=0)
    times = least / max(1, fewest)
    longer = say_longer(times if 0 < fewest < least else None)
    return _gate(
        "samples",
        f"answers: {', '.join(f'{count:,} of {name}' for name, count in counts.items()) or 'none'}",
        f"at least {least:,} of each, for {BEYOND} beyond p{100 * q:g}: {longer}",
        good=fewest >= least,
        used=times,
    )


def check_steady(samples: Samples, duration_s: float, *, mixed: bool = False) -> Check:
    """Check that the three thirds of a run at one rate have the same median.

    If variants are `mixed` at random, a drift affects all of them equally. It is then only a caveat on their
    own latencies, not on the comparison."""
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
        f"within {DRIFT:.0%} of each other, or no further apart than chance explains: run longer, warm up "
        "longer, or use a quieter machine" + (_OWN_FIGURES if mixed else ""),
        good=not apart or max(apart) <= DRIFT,
        used=max(apart, default=0.0) / DRIFT,
    )
    return gate.model_copy(update={"kind": "caveat"}) if mixed else gate


def check_twins(twins: Ratio | None) -> Check:
    """Check that two random halves of the baseline have the same median, which validates the intervals."""
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
        f"an interval that contains 1 (in {1 - RATIO_CONFIDENCE:.0%} of valid runs it does not): run longer",
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
    """Return the fix. A lower rate does not help if other programs used the sender's core."""
    cores = count_cores()
    if sender.cpu_share > CPU_SHARE or contention is None or not is_contended(contention, cores):
        return "lower the rate, or use more senders or a quieter machine"
    return (
        f"other programs on this machine used the CPU: {describe_contention(contention, cores)}; stop them, "
        "or send from another machine"
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
        f"{sender.in_flight:,} in flight at most; {sender.pool_full:,} requests had to wait for room",
        "room for every request at its scheduled time: the server is heavily overloaded; lower the rate",
        good=not sender.pool_full,
    )


def _check_arrivals(plan: LoadPlan, sent: int) -> Check:
    expected = plan.requests
    # The number of evenly spaced arrivals is exact except at the ends.
    allowed = ARRIVALS_DEVIATIONS * expected**0.5 if plan.arrivals == "poisson" else 2.0
    return _gate(
        "arrivals",
        f"{sent:,} sent",
        f"{expected:,.0f} +- {allowed:,.0f}, as the rate implies: use another seed",
        good=abs(sent - expected) <= allowed,
        used=abs(sent - expected) / allowed,
    )


def _beyond_chance(one: Interval, other: Interval) -> bool:
    below, above = sorted((one, other), key=lambda estimate: estimate.value)
    return below.high is not None and above.low is not None and below.high < above.low


def _gate(name: str, seen: str, wanted: str, *, good: bool, used: float | None = None) -> Check:
    outcome = CheckOutcome.PASS if good else CheckOutcome.INVALID
    return Check(name=name, kind="gate", outcome=outcome, seen=seen, wanted=wanted, used=used)
