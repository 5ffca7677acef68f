"""ModelKeeper: the real controller, commands and store of one model in this process; tests set its clock."""

from pathlib import Path
from typing import Any

from sqlalchemy import func, update

from serve.bundles.bundle import sha256
from serve.control.commands import Commands
from serve.control.memory_operations import MemoryOperations
from serve.rollout.api_records import Act, ActRequest, RolloutView
from serve.rollout.clock import SteadyClock
from serve.rollout.controller import Controller
from serve.rollout.earlier_evidence import begin
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.latency_limits import steady_of
from serve.rollout.outbox import Outbox
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import RolloutPlan, fix_limits, start
from serve.rollout.store.schema import TRAIL
from serve.rollout.store.store import Store
from serve.rollout.timeline import Timeline
from serve.rollout.trail.qualification import Qualification, QualificationOutcome, Stage
from serve.rollout.trail.trail import Entry
from tests.serve.kept_model import KeptModel

# 2026-11-22, 15:30 UTC.
NOW_S = 1_795_361_400.0
# The baseline's p95 before each rollout; the default policy derives a limit of 10.5 ms from it.
_STEADY_MS = 8.4


class FixedClock(SteadyClock):
    """Shows the time that it was set to, in seconds since 1970."""

    def __init__(self, now_s: float) -> None:
        self.shown_s = now_s

    def now_s(self) -> float:
        """Return the time."""
        return self.shown_s

    def not_before(self, written_s: float) -> None:
        """Something was written at this time, so it cannot be earlier now."""
        self.shown_s = max(self.shown_s, written_s)


class ModelKeeper(KeptModel):
    """Keeps the rollouts of one model in a SQLite file. Its acts happen `ago_s` seconds before NOW_S."""

    def __init__(
        self, folder: Path, plan: RolloutPlan, timeline: Timeline | None = None, *, ago_s: float = 0
    ) -> None:
        """Open the store in `folder`, or make it. `plan` is that of the rollouts that `begin` starts; its
        digests are those of all variants that are loaded."""
        self.plan, self.model = plan, plan.model
        self.clock = FixedClock(NOW_S - ago_s)
        self.store = Store(f"sqlite:///{folder}/rollouts.db", "keeper")
        self._timeline = timeline or Timeline()
        outbox = Outbox(folder)
        self.controller = Controller(self.store, self._timeline, lambda *_: None, outbox, self.clock)
        self.commands = Commands(self.controller, self.store, self._timeline)
        self._at_once = MemoryOperations(self.controller)
        self.controller.settle(plan.model, plan.baseline, plan.digests, None)

    @property
    def running(self) -> bool:
        """Return whether a rollout runs."""
        return self.state.running is not None

    @property
    def trail(self) -> tuple[Entry, ...]:
        """Everything that was written of the model."""
        return self.store.trail(self.plan.model)

    @property
    def _digests(self) -> dict[str, str]:
        return {name: self.plan.digests[name] for name in (self.plan.baseline, self.plan.candidate)}

    def command(self, name: str, *arguments: Any) -> Any:
        """The answer to a command, from memory or from the store, as the deployed keeper gives it."""
        if (answer := self._at_once.ask(name, *arguments)) is None:
            return getattr(self.commands, name)(*arguments)
        if name != "act":
            return answer
        self.controller.save()
        return self._at_once.view(arguments[0]) or answer

    def begin(self, name: str, ago_s: float = 0, policy: Policy | None = None) -> None:
        """Ann starts a rollout of that name, without the evidence of earlier ones."""
        self.clock.shown_s = NOW_S - ago_s
        update = {"digests": self._digests, "policy": policy or self.plan.policy}
        plan = self.plan.model_copy(update=update)
        begun = start(name, plan, _STEADY_MS, "ann", self.clock.shown_s)
        begun = fix_limits(begun, *steady_of(self._timeline, plan))
        self.controller.append(self.state, begin(begun, self.trail, fresh=True))

    def judge(self, evidence: Evidence, ago_s: float = 0) -> None:
        """Look at the rollout that runs with this evidence, and write down what follows. All segments are
        those of its first minute, or a replay finds that they are of another time."""
        self.clock.shown_s = NOW_S - ago_s
        state, started_s = self.state, self.rollout.started_s
        minute = {"started_s": started_s, "ended_s": started_s + 60}
        segments = tuple(segment.model_copy(update=minute) for segment in evidence.segments)
        evidence = evidence.model_copy(update={"segments": segments})
        state.present = state.present.model_copy(update={"evidence": evidence})
        self.controller.look()
        self.controller.save()

    def act(self, act: Act, by: str, ago_s: float = 0) -> RolloutView:
        """Perform a person's act on the last rollout."""
        self.clock.shown_s = NOW_S - ago_s
        view: RolloutView = self.command("act", self.rollout.rollout, act, ActRequest(), by)
        return view

    def fail_qualification(self, by: str, ago_s: float = 0) -> None:
        """Write a person's qualification with too small a capacity."""
        self.clock.shown_s = NOW_S - ago_s
        found = Qualification(
            candidate=self.plan.candidate,
            baseline=self.plan.baseline,
            digests=self._digests,
            outcome=QualificationOutcome.NOT_QUALIFIED,
            reasons=("capacity: 3/s of 4/s",),
            stages=(Stage(name="capacity", outcome="FAIL"),),
        )
        self.commands.qualify(self.plan.model, found, by)

    def forge(self, before: str, after: str) -> None:
        """Replace `before` by `after` in the last entry, as an attacker with access to the database could."""
        last = TRAIL.c.number == self.state.present.number
        forged = update(TRAIL).where(last).values(content=func.replace(TRAIL.c.content, before, after))
        with self.store._engine.begin() as connection:
            connection.execute(forged)


def digests_of(*variants: str) -> dict[str, str]:
    """A digest for each variant; it is of no file."""
    return {variant: sha256(variant.encode()) for variant in variants}
