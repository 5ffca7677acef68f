import json

import pytest

from serve.rollout.advance import abort, end_watch, pause, promote, resume
from serve.rollout.evidence.evidence import Pair
from serve.rollout.replay import recompute, replay
from serve.rollout.state.policy import Guards, LatencyGuard, Policy
from serve.rollout.state.rollout import Phase, Rollout
from serve.rollout.trail.seal_key import SealKey
from serve.rollout.trail.trail import Action, Change, Entry
from tests.serve.rollout.rollouts import begun, proven, shadowed
from tests.serve.rollout.stores import judged, routes_of, sealed, started


def whole() -> list[Change]:
    """Return the changes of a rollout from its start to its end, each with its evidence."""
    changes = [started()]
    while not (rollout := after(changes[-1])).watched:
        changes.append(judged(rollout, 61.0 * len(changes), len(changes) + 1))
    ended = end_watch(rollout, "bob", "its watch ended, because routes were set")
    return [*changes, acted(Action.PROMOTE, ended, 61.0 * len(changes))]


def entry_without(entry: Entry, *keys: str) -> Entry:
    """Return the entry as an older program wrote it, without these keys of the policy."""
    content = json.loads(entry.content)
    for key in keys:
        del content["rollout"]["plan"]["policy"][key]
    return entry.model_copy(update={"content": json.dumps(content)})


def after(change: Change) -> Rollout:
    """Return the rollout after a change."""
    assert change.rollout is not None
    return change.rollout


def acted(action: Action, rollout: Rollout, at_s: float, revision: int | None = None) -> Change:
    """Return the change of a person's act; `revision`: it moved traffic."""
    routes = None if revision is None else routes_of(rollout, revision)
    return Change(model="digits", action=action, by="bob", at_s=at_s, rollout=rollout, routes=routes)


def test_a_whole_rollout_comes_out_the_same() -> None:
    """A replay of six verdicts finds no fault."""
    again = replay(sealed(*whole()), "r1")
    assert (again.verdicts, again.faults) == (6, ())


def test_a_rollout_from_before_holdback_and_watch_comes_out_the_same() -> None:
    """A rollout from before holdback and watch is replayed without a fault."""
    changes = [acted(Action.START, begun(Policy(holdback=0.0, watch_s=0.0)), 0.0, 1)]
    for revision in range(2, 7):
        changes.append(acted(Action.PROMOTE, promote(after(changes[-1]), "bob", 9.0), 9.0, revision))
    changes.append(acted(Action.PROMOTE, promote(after(changes[-1]), "bob", 9.0), 9.0))
    old = [entry_without(entry, "holdback", "watch_s") for entry in sealed(*changes)]
    assert recompute(tuple(old), "r1").faults == ()
    assert (after(old[-2].change).share, after(old[-1].change).phase) == (1.0, Phase.DONE)


def test_a_changed_byte_is_noticed() -> None:
    """A changed byte is reported as a fault of its entry."""
    trail = sealed(*whole())
    changed = trail[2].model_copy(update={"content": trail[2].content.replace("0.01", "0.02", 1)})
    faults = replay((*trail[:2], changed, *trail[3:]), "r1").faults
    assert faults[0] == "entry 3 was changed, or the entry before it was"


def test_an_entry_that_cannot_be_read_is_named() -> None:
    """An entry that cannot be read is named, and nothing after it is replayed."""
    trail = sealed(*whole())
    again = replay((*trail[:2], trail[2].model_copy(update={"content": "{"}), *trail[3:]), "r1")
    assert again.verdicts == 1
    assert again.faults[1].startswith("entry 3: entry 3 of digits: ")


def test_a_verdict_that_does_not_follow_from_its_evidence_is_noticed() -> None:
    """A verdict that does not follow from its evidence is a fault, even if all seals were written again."""
    changes = whole()
    assert changes[1].judged is not None
    verdict = changes[1].judged.verdict.model_copy(update={"reason": "because"})
    forged = changes[1].judged.model_copy(update={"verdict": verdict})
    changes[1] = changes[1].model_copy(update={"judged": forged})
    assert "(because)" in replay(sealed(*changes), "r1").faults[0]


def test_a_jumped_step_is_noticed() -> None:
    """A step that was skipped is a fault."""
    changes = whole()
    changes[2] = changes[2].model_copy(update={"rollout": after(changes[3])})
    assert "verdict led to STEP at step 3" in replay(sealed(*changes), "r1").faults[1]


def test_what_people_did_comes_out_the_same() -> None:
    """A pause, a resume and a promotion by a person are replayed without a fault."""
    paused = pause(begun(), "bob")
    resumed = resume(paused, "bob")
    promoted = promote(resumed, "bob", 3.0)
    trail = sealed(
        started(),
        acted(Action.PAUSE, paused, 1.0),
        acted(Action.RESUME, resumed, 2.0),
        acted(Action.PROMOTE, promoted, 3.0, 2),
    )
    assert replay(trail, "r1").faults == ()


def test_what_people_gave_as_reasons_comes_out_the_same() -> None:
    """A replay accepts any reason that a person has given."""
    paused = pause(begun(), "bob", "lunch")
    promoted = promote(resume(paused, "bob", "back"), "bob", 3.0, "it is fine")
    trail = sealed(
        started(),
        acted(Action.PAUSE, paused, 1.0),
        acted(Action.RESUME, resume(paused, "bob", "back"), 2.0),
        acted(Action.PROMOTE, promoted, 3.0, 2),
        acted(Action.ABORT, abort(promoted, "bob", "it is not"), 4.0, 3),
    )
    assert replay(trail, "r1").faults == ()


def test_a_latency_limit_may_be_fixed_once() -> None:
    """A second change of the latency limit is a fault."""
    unknown = begun().model_copy(update={"limit_ms": None})
    begin = started().model_copy(update={"rollout": unknown})
    first, second = (unknown.model_copy(update={"limit_ms": limit_ms}) for limit_ms in (5.0, 6.0))
    trail = sealed(begin, acted(Action.LIMIT, first, 1.0), acted(Action.LIMIT, second, 2.0))
    assert [fault.split(":")[0] for fault in replay(trail, "r1").faults] == ["entry 3"]


def test_a_policy_with_a_latency_limit_reads_back() -> None:
    """An entry with a latency limit is read back the same."""
    policy = Policy(guards=Guards(latency=LatencyGuard(limit_ms=50)))
    change = started().model_copy(update={"rollout": begun(policy)})
    assert sealed(change)[0].change == change


KEY = SealKey(bytes(32))


def forged(number: int, **judged: object) -> Change:
    """Return the change of that number with another part of its evidence."""
    change = whole()[number - 1]
    assert change.judged is not None
    return change.model_copy(update={"judged": change.judged.model_copy(update=judged)})


def faults_of(number: int, change: Change) -> str:
    """Return the faults after the entry of that number is replaced and sealed with the key."""
    changes = whole()
    changes[number - 1] = change
    return " ".join(replay(sealed(*changes, key=KEY), "r1", KEY).faults)


def test_a_whole_rollout_with_a_key_comes_out_the_same() -> None:
    """A replay with a key, which also checks times and growth, finds no fault."""
    assert replay(sealed(*whole(), key=KEY), "r1", KEY).faults == ()


def test_routes_that_do_not_follow_from_the_rollout_are_noticed() -> None:
    """Routes whose share differs from the rollout's are a fault."""
    change = whole()[2]
    assert change.routes is not None
    routes = change.routes.model_copy(update={"weights": {"fp32": 0.05, "int8": 0.95}})
    swapped = change.model_copy(update={"routes": routes})
    assert "the routes give the candidate 95 %, and the rollout asks for 5 %" in faults_of(3, swapped)


def test_routes_that_change_where_nothing_moves_are_noticed() -> None:
    """A pause whose routes give the candidate all traffic is a fault."""
    paused = pause(begun(), "bob")
    routes = routes_of(begun(), 2).model_copy(update={"weights": {"fp32": 0.0, "int8": 1.0}, "shadows": {}})
    change = acted(Action.PAUSE, paused, 1.0).model_copy(update={"routes": routes})
    assert "give the candidate 100 %" in replay(sealed(started(), change), "r1").faults[0]


def test_a_verdict_that_is_not_the_judges_is_noticed() -> None:
    """A verdict with an author other than the judge is a fault."""
    eve = whole()[2].model_copy(update={"by": "eve"})
    assert "a verdict is the judge's, and eve gave this one" in faults_of(3, eve)


def test_evidence_that_was_moved_in_time_is_noticed() -> None:
    """Evidence from before the start of its rollout is a fault."""
    evidence = proven()
    moved = tuple(
        segment.model_copy(update={"started_s": segment.started_s - 1e6, "ended_s": segment.ended_s - 1e6})
        for segment in evidence.segments
    )
    change = forged(3, evidence=evidence.model_copy(update={"segments": moved}))
    assert "its evidence is from another time" in faults_of(3, change)


@pytest.mark.parametrize("less", ["requests", "pairs", "segment"])
def test_evidence_that_becomes_less_is_noticed(less: str) -> None:
    """Evidence with fewer counts than that of the verdict before is a fault."""
    evidence = proven()
    first, *others = evidence.segments
    halved = first.model_copy(update={"requests": Pair(baseline=1, candidate=1)})
    shrunk = {
        "requests": evidence.model_copy(update={"segments": (halved, *others)}),
        "pairs": evidence.model_copy(update={"shadow": shadowed(1500, 2)}),
        "segment": evidence.model_copy(update={"segments": tuple(others)}),
    }
    change = forged(3, evidence=shrunk[less])
    assert "entry 3: its evidence is less than that of the verdict before" in faults_of(3, change)


def test_a_time_that_goes_back_is_noticed() -> None:
    """A time before that of the entry before is a fault."""
    assert "it was done at 1.000, before the entry that it follows" in faults_of(
        3, whole()[2].model_copy(update={"at_s": 1.0})
    )


def test_a_verdict_by_an_older_method_is_no_fault() -> None:
    """A verdict by an older method is counted as older and not compared."""
    changes = whole()
    judgement = changes[1].judged
    assert judgement is not None
    verdict = judgement.verdict.model_copy(update={"reason": "computed otherwise"})
    rollout = after(changes[1]).model_copy(update={"reason": "computed otherwise"})
    older = judgement.model_copy(update={"verdict": verdict, "method": 1})
    changes[1] = changes[1].model_copy(update={"judged": older, "rollout": rollout})
    again = replay(sealed(*changes[:2]), "r1")
    assert (again.verdicts, again.older, again.faults) == (0, 1, ())
