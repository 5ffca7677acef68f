"""Checks the capacity of the candidate against the baseline's."""

from loadtests.judging.limits import Limits
from loadtests.judging.search import GAP
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.qualify.qualification_record import StageRecord, make_stage
from loadtests.report import LoadReport


def check_capacity(report: LoadReport, baseline: str, candidate: str, limits: Limits) -> StageRecord:
    """Check the second stage, from the search for both capacities."""
    checks = list(report.checks)
    rates = [
        report.capacities[name].rate_per_s for name in (baseline, candidate) if name in report.capacities
    ]
    # If the search did not settle, the rate is only the highest that has passed so far.
    settled = report.complete and all(check.outcome is CheckOutcome.PASS for check in checks)
    if settled and len(rates) == 2 and rates[0] is not None and rates[1] is not None:
        ratio, minimum = rates[1] / rates[0], limits.capacity_ratio
        checks.append(
            Check(
                name="capacity ratio",
                kind="guard",
                # The search finds each capacity within a twentieth, so equal capacities may differ by that
                # factor.
                outcome=CheckOutcome.PASS if ratio * GAP >= minimum else CheckOutcome.FAIL,
                seen=f"{candidate} {rates[1]:,.4g} requests/s, {baseline} {rates[0]:,.4g}: {ratio:.2f}x",
                wanted=f"at least {minimum:g}x, within a twentieth",
                used=minimum / (ratio * GAP),
            )
        )
    return make_stage("capacity", checks, report)
