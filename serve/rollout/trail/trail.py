"""Trail: everything that happened to one model's traffic, in order, each entry sealed with the one before.

A seal is `NAME:MAC`, made with a key (seal_key.py), or, in what was written without one, the plain SHA-256.
Once there was a key there is no entry without."""

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

# Counts up when the statistics change, so that verdicts that were computed otherwise are told apart.
METHOD = 5


class Action(StrEnum):
    """What was done."""

    START = "start"
    # The judge's, with what followed from it.
    VERDICT = "verdict"
    # The latency limit was fixed, now that the baseline's quantile is known.
    LIMIT = "limit"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    # After the end: the candidate is the baseline.
    ACCEPT = "accept"
    # Routes alone, without a rollout.
    ROUTES = "routes"
    # Nothing was changed: something was found out before a rollout.
    QUALIFY = "qualify"


class Judged(Record):
    """A verdict and what it was computed from."""

    evidence: Evidence
    verdict: Verdict
    # METHOD, when it was computed.
    method: int = 1


class Change(Record):
    """One step: what was done, by whom, when, and all that is in force afterwards."""

    model: str
    action: Action
    # A person, or "judge".
    by: str
    # Seconds since 1970; for a verdict the moment that it was asked for.
    at_s: float
    # None: as they were.
    rollout: Rollout | None = None
    routes: Routes | None = None
    # Of a start only: what earlier rollouts of the same two versions have seen; None: nothing that counts.
    carried: Carried | None = None
    # Of a start only: whether the rollout's labels, and the requests that they are of, are sealed as well.
    rows_sealed: bool = False
    # Of a verdict only.
    judged: Judged | None = None
    # Of a qualification only.
    qualification: Qualification | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.judged is None) == (self.action is Action.VERDICT):
            raise ValueError(f"action {self.action}: a verdict comes with `judged`, and nothing else does")
        if self.carried is not None and self.action is not Action.START:
            raise ValueError(f"action {self.action}: only a start comes with what was seen before")
        if (self.qualification is None) == (self.action is Action.QUALIFY):
            raise ValueError(
                f"action {self.action}: `qualify` comes with its qualification, nothing else does"
            )
        alone = self.action in (Action.ROUTES, Action.QUALIFY)
        if (self.rollout is None) != alone:
            raise ValueError(f"action {self.action}: all but routes and qualify come with their rollout")
        if self.action is Action.QUALIFY and self.routes is not None:
            raise ValueError("action qualify: it changes no routes")
        if self.action is Action.ROUTES and self.routes is None:
            raise ValueError("action routes: give the routes")
        models = {self.rollout and self.rollout.plan.model, self.routes and self.routes.model} - {None}
        if models - {self.model}:
            raise ValueError(f"a change of model {self.model!r} with parts of {sorted(map(str, models))}")
        return self


class Entry(Record):
    """A change as it is stored."""

    model: str
    # Counts up from 1 for each model, without gaps.
    number: Annotated[int, Field(ge=1)]
    # The rollout's name and the routes' revision, to find them by.
    rollout: str | None
    revision: int | None
    # The change as JSON, to the byte.
    content: str
    digest: str

    @property
    def change(self) -> Change:
        """The change itself. Raises InvalidRecord."""
        try:
            return Change.model_validate_json(self.content)
        except ValidationError as error:
            raise InvalidRecord(f"entry {self.number} of {self.model}: {explain(error)}") from None


def seal(change: Change, number: int, previous: str, key: SealKey | None = None) -> Entry:
    """`change` as the entry that follows the one with the digest `previous`; the first follows ""."""
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
    """The SHA-256 over `previous` and everything in `entry` but its own digest."""
    return hashlib.sha256(_text(entry, previous).encode()).hexdigest()


def broken_seals(trail: tuple[Entry, ...], key: SealKey | None = None, trusted: int = 0) -> tuple[str, ...]:
    """What was changed, lost or put in between since it was written; entries up to number `trusted` are taken
    as they are. An end cut off leaves no sign here: the anchor knows it.

    Without a key found is damage, and a careless hand: whoever can write the store can seal it anew."""
    faults = []
    if trail and not trusted and (trail[0].number != 1 or not _holds(trail[0], "", key)):
        faults.append(_unlike(trail[0], key) or f"entry {trail[0].number} is not what was written first")
    for before, entry in pairwise(trail):
        if entry.number <= trusted:
            continue
        if entry.number != before.number + 1:
            faults.append(f"entry {entry.number} follows {before.number}; what was between is lost")
        elif ":" in before.digest and ":" not in entry.digest:
            faults.append(f"entry {entry.number} is sealed without a key, and the one before it with one")
        elif not _holds(entry, before.digest, key):
            fault = f"entry {entry.number} is not what was written, or the one before it is not"
            faults.append(_unlike(entry, key) or fault)
    return tuple(faults)


def _holds(entry: Entry, previous: str, key: SealKey | None) -> bool:
    if ":" not in entry.digest:
        return entry.digest == digest_of(entry, previous)
    return key is not None and key.fits(_text(entry, previous), entry.digest)


def _unlike(entry: Entry, key: SealKey | None) -> str | None:
    """That it was sealed with another key, where that is so."""
    name, colon, _ = entry.digest.partition(":")
    if not colon or (key is not None and key.name == name):
        return None
    here = "there is none here" if key is None else f"the one here is {key.name}"
    return f"entry {entry.number} is sealed with the key {name}, and {here}; name its file with --seal-key"


def _text(entry: Entry, previous: str) -> str:
    """What a seal is over."""
    parts = [previous, entry.model, entry.number, entry.rollout, entry.revision, entry.content]
    return json.dumps(parts)
