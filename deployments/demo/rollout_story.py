"""Rollout story: what became of a rollout, from its view and its model's trail. Pure."""

from collections.abc import Sequence
from itertools import groupby

from serve.base.record import Record
from serve.rollout.api_records import RolloutView, TrailLine
from serve.rollout.state.rollout import Phase


class RolloutMove(Record):
    """The moment at which a rollout came to a phase or a step, and why."""

    # Since its start.
    after_s: float
    phase: Phase
    step: int
    # The candidate's share of the requests from then on, 0 to 1.
    share: float
    # PROMOTE or ROLLBACK, say; None: it was no verdict, but the start or a person.
    verdict: str | None
    reason: str


class RolloutStory(Record):
    """A rollout that is over."""

    baseline: str
    candidate: str
    phase: Phase
    reason: str
    took_s: float
    # Copies of requests whose answers were compared in the shadow, and how many of these differed.
    copies: int
    differed: int
    moves: tuple[RolloutMove, ...]

    @property
    def ended_in_shadow(self) -> bool:
        """Whether the candidate never answered a client."""
        return all(move.share == 0 for move in self.moves)


def tell(view: RolloutView, trail: Sequence[TrailLine]) -> RolloutStory:
    """The story of the rollout in `view`; `trail` is its model's."""
    rollout = view.rollout
    mine = [line for line in trail if line.rollout == rollout.rollout]
    firsts = [next(lines) for _, lines in groupby(mine, key=lambda line: (line.phase, line.step))]
    moves = tuple(
        RolloutMove(
            after_s=line.at_s - rollout.started_s,
            phase=line.phase or rollout.phase,
            step=line.step or 0,
            share=line.share or 0.0,
            verdict=line.kind,
            reason=line.reason,
        )
        for line in firsts
    )
    return RolloutStory(
        baseline=rollout.plan.baseline,
        candidate=rollout.plan.candidate,
        phase=rollout.phase,
        reason=rollout.reason,
        took_s=moves[-1].after_s,
        copies=view.evidence.shadow.pairs,
        differed=view.evidence.shadow.disagreements,
        moves=moves,
    )
