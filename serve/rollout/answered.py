"""Answered: which variant was chosen for which request, so that what is learnt later counts for it."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, bindparam, delete, select, text, update

from serve.control import Feedback, Outcome
from serve.rollout.evidence import Events, Pair, Segment
from serve.rollout.lease import Writer
from serve.rollout.schema import ANSWERED

# A request as it is remembered, and whether its answer was right.
_Told = tuple[Row[tuple[object, ...]], bool]
# So many requests of a model are remembered; beyond that the oldest are forgotten, a hundredth at a time.
KEPT = 1_000_000
# An id that comes again is a new request, unless it is the same row that was sent twice.
_NOTE = text(
    "INSERT INTO answered (model, id, rollout, step, split, sticky, candidate, at_s) "
    "VALUES (:model, :id, :rollout, :step, :split, :sticky, :candidate, :at_s) "
    "ON CONFLICT (model, id) DO UPDATE SET rollout = excluded.rollout, step = excluded.step, "
    "split = excluded.split, sticky = excluded.sticky, candidate = excluded.candidate, "
    "at_s = excluded.at_s, outcome = NULL WHERE excluded.at_s > answered.at_s"
)
_TELL = (
    update(ANSWERED)
    .where(ANSWERED.c.model == bindparam("of"), ANSWERED.c.id == bindparam("digest"))
    .values(outcome=bindparam("correct"))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One request of a rollout, and the segment that it counts in."""

    request_id: str
    rollout: str
    step: int
    # The candidate's share asked when the variant was chosen, 0 to 1; sticky: by a key.
    split: float
    sticky: bool
    # Whether the candidate was chosen; whoever answered.
    candidate: bool
    # Seconds since 1970.
    at_s: float


class Answered:
    """The requests that feedback may come for. Its methods raise StoreFailed and LostLease."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        # Model -> how many were noted since it was last looked for old ones.
        self._noted: defaultdict[str, int] = defaultdict(lambda: KEPT)

    def note(self, model: str, answers: Sequence[Answer], now_s: float) -> None:
        """Remember requests. An id that was there means the newer request from now on."""
        if not answers:
            return
        with self._writer.writing(now_s) as connection:
            connection.execute(_NOTE, [_row(model, answer) for answer in answers])
            noted = self._noted[model] + len(answers)
            slack = KEPT // 100
            if forget := noted >= slack:
                _forget(connection, model, KEPT - slack)
        # Only now that it is written.
        self._noted[model] = 0 if forget else noted

    @staticmethod
    def tell(
        connection: Connection, model: str, outcomes: Sequence[Outcome], running: str | None
    ) -> tuple[Feedback, list[Segment]]:
        """Join outcomes to the variants that were chosen, each once; and what counts, by its segment.

        Only requests of the rollout `running` count; None: none runs."""
        digests = [digest_of(outcome.request_id) for outcome in outcomes]
        known = _find(connection, model, digests)
        feedback, counted = _join(outcomes, known, running)
        if counted:
            changes = [{"of": model, "digest": row.id, "correct": correct} for row, correct in counted]
            connection.execute(_TELL, changes)
        return feedback, list(_segments(counted))


def digest_of(request_id: str) -> bytes:
    """The 16 bytes that stand for an id; what a client calls its requests is nobody's business."""
    return hashlib.blake2b(request_id.encode(), digest_size=16).digest()


def _row(model: str, answer: Answer) -> dict[str, object]:
    return {
        "model": model,
        "id": digest_of(answer.request_id),
        "rollout": answer.rollout,
        "step": answer.step,
        "split": answer.split,
        "sticky": answer.sticky,
        "candidate": answer.candidate,
        "at_s": answer.at_s,
    }


def _find(connection: Connection, model: str, digests: list[bytes]) -> dict[bytes, Row[tuple[object, ...]]]:
    rows = select(ANSWERED).where(ANSWERED.c.model == model, ANSWERED.c.id.in_(digests))
    return {bytes(row.id): row for row in connection.execute(rows)}


def _forget(connection: Connection, model: str, kept: int) -> None:
    """Delete what is older than the newest `kept`."""
    mine = ANSWERED.c.model == model
    newest = select(ANSWERED.c.at_s).where(mine).order_by(ANSWERED.c.at_s.desc())
    oldest_s = connection.execute(newest.offset(kept).limit(1)).scalar_one_or_none()
    if oldest_s is not None:
        connection.execute(delete(ANSWERED).where(mine, ANSWERED.c.at_s <= oldest_s))


def _join(
    outcomes: Sequence[Outcome], known: Mapping[bytes, Row[tuple[object, ...]]], running: str | None
) -> tuple[Feedback, list[_Told]]:
    """What becomes of each outcome, and those that count."""
    told = {digest for digest, row in known.items() if row.outcome is not None}
    counted: list[_Told] = []
    double, late, unknown = [], [], []
    for outcome in outcomes:
        digest = digest_of(outcome.request_id)
        if digest not in known:
            unknown.append(outcome.request_id)
        elif digest in told:
            double.append(outcome.request_id)
        elif known[digest].rollout != running:
            late.append(outcome.request_id)
        else:
            told.add(digest)
            counted.append((known[digest], outcome.correct))
    feedback = Feedback(counted=len(counted), double=tuple(double), late=tuple(late), unknown=tuple(unknown))
    return feedback, counted


def _segments(counted: Iterable[_Told]) -> Iterator[Segment]:
    """One tick of feedback for each split; its time is that of the requests."""
    splits: defaultdict[tuple[int, float, bool], list[_Told]] = defaultdict(list)
    for row, correct in counted:
        splits[row.step, row.split, row.sticky].append((row, correct))
    for (step, split, sticky), told in splits.items():
        candidate = sum(row.candidate for row, _ in told)
        wrong = [row.candidate for row, correct in told if not correct]
        yield Segment(
            step=step,
            split=split,
            sticky=sticky,
            started_s=min(row.at_s for row, _ in told),
            ended_s=max(row.at_s for row, _ in told),
            labelled=Pair(baseline=len(told) - candidate, candidate=candidate),
            wrong=Events.tick(len(wrong) - sum(wrong), sum(wrong)),
        )
