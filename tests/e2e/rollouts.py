"""Rollouts that are started over the control API, and their results."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from serve.control.cli.control_client import ControlClient
from serve.control.operations import REPLAY, START, VIEW
from serve.rollout.api_records import RolloutRequest, RolloutView, TrailLine
from serve.rollout.replay import Replay
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase
from tests.e2e.server import Server
from tests.e2e.swarm import Swarm


@dataclass(frozen=True, kw_only=True)
class Told:
    """A rollout that is over, and the load that it was under."""

    view: RolloutView
    trail: tuple[TrailLine, ...]
    replay: Replay
    load: Swarm

    @property
    def moves(self) -> list[TrailLine]:
        """The first entry of each phase and step."""
        mine = [line for line in self.trail if line.rollout == self.view.rollout.rollout]
        return [next(lines) for _, lines in groupby(mine, key=lambda line: (line.phase, line.step))]

    @property
    def places(self) -> list[tuple[Phase | None, int | None]]:
        """Phases and steps in the order in which they came."""
        return [(line.phase, line.step) for line in self.moves]

    @property
    def met(self) -> int:
        """Return the number of requests that the candidate answered or that failed."""
        return self.load.answered()["light"] + len(self.load.failed)

    @property
    def summary(self) -> str:
        """One line about it."""
        rollout, asked = self.view.rollout, len(self.load.records)
        took_s = self.moves[-1].at_s - rollout.started_s
        return (
            f"{rollout.plan.model}: {rollout.phase} after {took_s:.1f} s; of {asked:,} requests {self.met:,} "
            f"({self.met / asked:.1%}) met the candidate, {len(self.load.failed)} failed; {rollout.reason}"
        )


def begin(server: Server, model: str, policy: Mapping[str, Any]) -> str:
    """Start a rollout to `light`; its name."""
    wanted = RolloutRequest(candidate="light", policy=Policy.parse(policy, model))
    return ControlClient(server.url).ask(START, model, body=wanted).rollout.rollout


def trail_of(server: Server, model: str) -> tuple[TrailLine, ...]:
    """Everything that happened to the model's traffic."""
    entries = server.get(f"/control/models/{model}/trail?after=0").json["entries"]
    return tuple(TrailLine.model_validate(entry) for entry in entries)


def tell_of(server: Server, rollout: str, load: Swarm) -> Told:
    """Return the view, the trail and the replay of a rollout, with its load."""
    client = ControlClient(server.url)
    view = client.ask(VIEW, rollout)
    trail = trail_of(server, view.rollout.plan.model)
    return Told(view=view, trail=trail, replay=client.ask(REPLAY, rollout), load=load)
