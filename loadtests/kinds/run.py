"""Run: one load, and every variant that answered judged by itself."""

from loadtests.judging.limits import Limits
from loadtests.kinds.load import check_run, load, report_run
from loadtests.plan import LoadPlan
from loadtests.report import LoadReport
from loadtests.sending.client import Client
from loadtests.sending.measure import LoadTarget
from loadtests.sending.samples import Samples


def run(client: Client, target: LoadTarget, plan: LoadPlan, limits: Limits) -> tuple[LoadReport, Samples]:
    """The report, and the raw record of every request, the warm-up's among them."""
    loaded = load(client, target, plan, limits)
    return report_run("run", loaded, check_run(loaded)), loaded.measured.samples
