"""The trail of a model: every change of its traffic, in order, each entry sealed together with the previous
one.

A seal is `NAME:MAC`, made with a key (seal_key.py); entries that were written without a key have a plain
SHA-256. After the first entry with a key, all entries must have one."""

import hashlib
import json
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from serve.base.errors import InvalidRecord
from serve.base.record import Record, explain
from serve.base.routing import Routes
from serve.rollout.evidence.evidence import Carried, Evidence
from serve.rollout.judging.judge import Verdict
from serve.rollout.state.rollout import Rollout
from serve.rollout.trail.qualification import Qualification
from serve.rollout.trail.seal_key import SealKey

# Incremented when the statistics or their texts change, to recognize verdicts of older methods.
METHOD = 5


class Action(StrEnum):
    """The kind of a change."""

    START = "start"
    # By the judge, with the step that follows from it.
    VERDICT = "verdict"
    # The latency limit was set, because the baseline's quantile is known now.
    LIMIT = "limit"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    # After the end: the candidate became the baseline.
    ACCEPT = "accept"
    # A change of routes without a rollout.
    ROUTES = "routes"
    # The result of a qualification; nothing was changed.
    QUALIFY = "qualify"


class Judged(Record):
    """A verdict and its evidence."""

    evidence: Evidence
    verdict: Verdict
    # The value of METHOD at that time.
    method: int = 1


class Change(Record):
    """One step: what was done, by whom, when, and the state afterwards."""

    model: str
    action: Action
    # A person, or "judge".
    by: str
    # Seconds since 1970; for a verdict, the time of the look.
    at_s: float
    # None: unchanged.
    rollout: Rollout | None = None
    routes: Routes | None = None
    # For a start only: the evidence of earlier rollouts of the same two versions; None: there is none.
    carried: Carried | None = None
    # For a start only: whether the labels of the rollout and their requests are sealed as well.
    rows_sealed: bool = False
    # For a verdict only.
    judged: Judged | None = None
    # For a qualification only.
    qualification: Qualification | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.judged is None) == (self.action is Action.VERDICT):
            raise ValueError(f"action {self.action}: a verdict must have `judged`, and no other action may")
        if self.carried is not None and self.action is not Action.START:
            raise ValueError(f"action {self.action}: only a start may have carried evidence")
        if (self.qualification is None) == (self.action is Action.QUALIFY):
            raise ValueError(
                f"action {self.action}: `qualify` must have a qualification, and no other action may"
            )
        alone = self.action in (Action.ROUTES, Action.QUALIFY)
        if (self.rollout is None) != alone:
            raise ValueError(f"action {self.action}: all actions but routes and qualify must have a rollout")
        if self.action is Action.QUALIFY and self.routes is not None:
            raise ValueError("action qualify: it must not change routes")
        if self.action is Action.ROUTES and self.routes is None:
            raise ValueError("action routes: the routes are missing")
        models = {self.rollout and self.rollout.plan.model, self.routes and self.routes.model} - {None}
        if models - {self.model}:
            raise ValueError(f"a change of model {self.model!r} has parts of {sorted(map(str, models))}")
        return self


class Entry(Record):
    """A change in its stored form."""

    model: str
    # Increases from 1 for each model, without gaps.
    number: Annotated[int, Field(ge=1)]
    # The name of the rollout and the revision of the routes, for look-ups.
    rollout: str | None
    revision: int | None
    # The exact JSON of the change.
    content: str
    digest: str

    @property
    def change(self) -> Change:
        """The decoded change. Raises InvalidRecord."""
        try:
            return Change.model_validate_json(self.content)
        except ValidationError as error:
            raise InvalidRecord(f"entry {self.number} of {self.model}: {explain(error)}") from None


def seal(change: Change, number: int, previous: str, key: SealKey | None = None) -> Entry:
    """Seal `change` as the entry after the one with the digest `previous`; "" for the first entry."""
    entry = Entry(
        model=change.model,
        number=number,
        rollout=change.rollout.rollout if change.rollout else None,
        revision=change.routes.revision if change.routes else None,
        content=change.model_dump_json(),
        digest="",
    )
    digest = digest_of(entry, previous) if key is None else key.seal(_text(entry, previous))
    return entry.model_copy(update={"digest": digest})


def digest_of(entry: Entry, previous: str) -> str:
    """The SHA-256 over `previous` and everything in `entry` except its own digest."""
    return hashlib.sha256(_text(entry, previous).encode()).hexdigest()


def broken_seals(trail: tuple[Entry, ...], key: SealKey | None = None, trusted: int = 0) -> tuple[str, ...]:
    """The faults of a trail: entries that were changed, lost or inserted. Entries up to number `trusted` are
    not checked. A cut-off end is not detected here, but by the anchor.

    Without a key, only accidental damage is detected, because a person who can write the store can seal it
    anew."""
    faults = []
    if trail and not trusted and (trail[0].number != 1 or not _holds(trail[0], "", key)):
        faults.append(_unlike(trail[0], key) or f"entry {trail[0].number} is not the original first entry")
    for before, entry in pairwise(trail):
        if entry.number <= trusted:
            continue
        if entry.number != before.number + 1:
            faults.append(f"entry {entry.number} follows {before.number}; the entries between are missing")
        elif ":" in before.digest and ":" not in entry.digest:
            faults.append(f"entry {entry.number} is sealed without a key, but the entry before it with one")
        elif not _holds(entry, before.digest, key):
            fault = f"entry {entry.number} was changed, or the entry before it was"
            faults.append(_unlike(entry, key) or fault)
    return tuple(faults)


def _holds(entry: Entry, previous: str, key: SealKey | None) -> bool:
    if ":" not in entry.digest:
        return entry.digest == digest_of(entry, previous)
    return key is not None and key.fits(_text(entry, previous), entry.digest)


def _unlike(entry: Entry, key: SealKey | None) -> str | None:
    """The fault that an entry was sealed with another key, if it was."""
    name, colon, _ = entry.digest.partition(":")
    if not colon or (key is not None and key.name == name):
        return None
    here = "no key is here" if key is None else f"the key here is {key.name}"
    return f"entry {entry.number} is sealed with the key {name}, but {here}; name its file with --seal-key"


def _text(entry: Entry, previous: str) -> str:
    """The text that a seal covers."""
    parts = [previous, entry.model, entry.number, entry.rollout, entry.revision, entry.content]
    return json.dumps(parts)
