"""Makes the report of all senders, and the exit code from its verdict."""

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadtests.cli import EXIT_CODES
from loadtests.errors import LoadTestError
from loadtests.judging.request_cost import read_meter
from loadtests.kinds.load import check_run, describe_run, find_costs, report_run
from loadtests.load_plan import steady
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.render.report_table import table
from loadtests.render.write import check_paths, write_all
from loadtests.report import LoadReport
from loadtests.sending.machine import StealClock
from loadtests.sending.measurement import Measurement
from loadtests.sending.samples import Samples
from loadtests.swarm.options import SwarmOptions
from loadtests.swarm.sample_messages import join
from loadtests.swarm.sender import SenderResult


class Reporter:
    """Collects the samples of one test."""

    def __init__(self, load_request: SwarmOptions, path: Path | None) -> None:
        """Start a test; `path` is the file of the JSON report, or None. Raises LoadTestError."""
        check_paths(json=path)
        self.asked = load_request
        self._path = path
        self._samples: list[Samples] = []
        self._meter = read_meter(load_request.client)
        self._steal = StealClock()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")

    def add(self, samples: Samples) -> None:
        """Add one sender's new samples."""
        self._samples.append(samples)

    def end(self, parts: Sequence[SenderResult | None]) -> int:
        """Print and write the report, and return the exit code. A part of None is a sender that did not
        report."""
        parts_sent = [part for part in parts if part is not None]
        until_s = min((part.sent_until_s for part in parts_sent), default=0.0)
        if until_s <= 0:
            logging.error("Nothing was measured: the test was stopped within its warm-up")
            return EXIT_CODES[CheckOutcome.INVALID]
        report = self._report(parts_sent, until_s, of=len(parts))
        sys.stdout.write(f"{table(report)}\n\n")
        try:
            write_all(report, json=self._path)
        except LoadTestError as error:
            logging.error("%s", error)
            return error.exit_code
        return EXIT_CODES[report.verdict.outcome]

    def _report(self, parts: Sequence[SenderResult], until_s: float, of: int) -> LoadReport:
        load_request = self.asked
        plan = load_request.plan.model_copy(update={"profile": steady(load_request.plan.rate_per_s, until_s)})
        samples = join(self._samples)
        cpu_s = sum(part.cpu_s for part in parts)
        busiest = max(part.cpu_s / part.wall_s for part in parts)
        measured = Measurement(
            # After the first sender has stopped, the others no longer make the full rate.
            samples=samples.where(samples.intended_s < until_s),
            started_at=self._started_at,
            complete=len(parts) == of,
            sent_until_s=until_s,
            # The reported share of a core is the busiest sender's; the cost covers all senders.
            wall_s=cpu_s / busiest,
            cpu_s=cpu_s,
            pool_full=sum(part.pool_full for part in parts),
            steal=self._steal.share(),
        )
        costs = find_costs(load_request.client, self._meter, measured, plan, load_request.limits)
        run = describe_run(plan, load_request.limits, load_request.target.metadata, measured, costs)
        checks = check_run(run)
        if of > 1:
            checks.insert(0, _check_senders(len(parts), of))
        return report_run("run", run, checks)


def _check_senders(parts_sent: int, of: int) -> Check:
    return Check(
        name="senders",
        kind="gate",
        outcome=CheckOutcome.PASS if parts_sent == of else CheckOutcome.INVALID,
        seen=f"{parts_sent} of {of} reported what they sent",
        wanted="all of them: look into the log of the missing one",
    )
