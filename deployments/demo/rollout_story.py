"""Summarizes the course of a finished rollout from its view and the trail of its model. Pure."""

from collections.abc import Sequence
from itertools import groupby

from serve.base.record import Record
from serve.rollout.api_records import RolloutView, TrailLine
from serve.rollout.state.rollout import Phase


class RolloutMove(Record):
    """A change of a rollout's phase or step, with its reason."""

    # Seconds since the start of the rollout.
    after_s: float
    phase: Phase
    step: int
    # The candidate's share of the requests after this change, 0 to 1.
    share: float
    # Such as PROMOTE or ROLLBACK. None: the start, or the action of a person.
    verdict: str | None
    reason: str


class RolloutStory(Record):
    """A finished rollout."""

    baseline: str
    candidate: str
    phase: Phase
    reason: str
    took_s: float
    # The pairs of answers that were compared in the shadow, and those of them that differed.
    copies: int
    differed: int
    moves: tuple[RolloutMove, ...]

    @property
    def ended_in_shadow(self) -> bool:
        """Whether the candidate never answered a client."""
        return all(move.share == 0 for move in self.moves)


def read_story(view: RolloutView, trail: Sequence[TrailLine]) -> RolloutStory:
    """Return the course of the rollout in `view`; `trail` is the trail of its model."""
    rollout = view.rollout
    entries = [line for line in trail if line.rollout == rollout.rollout]
    firsts = [next(lines) for _, lines in groupby(entries, key=lambda line: (line.phase, line.step))]
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
