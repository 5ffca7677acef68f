from serve.rollout.advance import abort, end_watch, pause, promote, resume
from serve.rollout.policy import Guards, LatencyGuard, Policy
from serve.rollout.replay import replay
from serve.rollout.rollout import Rollout
from serve.rollout.trail import Action, Change
from tests.serve.rollout.rollouts import begun
from tests.serve.rollout.stores import judged, sealed, started


def whole() -> list[Change]:
    """A rollout from its start to its end, each step on the evidence."""
    changes = [started()]
    while not (rollout := after(changes[-1])).watched:
        changes.append(judged(rollout, 61.0 * len(changes), len(changes) + 1))
    ended = end_watch(rollout, "bob", "its watch ended, because routes were set")
    return [*changes, acted(Action.PROMOTE, ended, 61.0 * len(changes))]


def after(change: Change) -> Rollout:
    """What it led to."""
    assert change.rollout is not None
    return change.rollout


def acted(action: Action, rollout: Rollout, at_s: float) -> Change:
    """What a person did."""
    return Change(model="digits", action=action, by="bob", at_s=at_s, rollout=rollout)


def test_a_whole_rollout_comes_out_the_same() -> None:
    """Six verdicts and an end of the watch, through the file's text and back."""
    again = replay(sealed(*whole()), "r1")
    assert (again.verdicts, again.faults) == (6, ())


def test_a_changed_byte_is_noticed() -> None:
    """Before anything is computed from it."""
    trail = sealed(*whole())
    changed = trail[2].model_copy(update={"content": trail[2].content.replace("0.01", "0.02", 1)})
    faults = replay((*trail[:2], changed, *trail[3:]), "r1").faults
    assert faults[0] == "entry 3 is not what was written, or the one before it is not"


def test_an_entry_that_cannot_be_read_is_named() -> None:
    """And nothing after it is computed from a guess."""
    trail = sealed(*whole())
    again = replay((*trail[:2], trail[2].model_copy(update={"content": "{"}), *trail[3:]), "r1")
    assert again.verdicts == 1
    assert again.faults[1].startswith("entry 3: entry 3 of digits: ")


def test_a_verdict_that_does_not_follow_from_its_evidence_is_noticed() -> None:
    """Even where somebody sealed everything anew."""
    changes = whole()
    assert changes[1].judged is not None
    verdict = changes[1].judged.verdict.model_copy(update={"reason": "because"})
    forged = changes[1].judged.model_copy(update={"verdict": verdict})
    changes[1] = changes[1].model_copy(update={"judged": forged})
    assert "(because)" in replay(sealed(*changes), "r1").faults[0]


def test_a_jumped_step_is_noticed() -> None:
    """A verdict leads one step further and no more."""
    changes = whole()
    changes[2] = changes[2].model_copy(update={"rollout": after(changes[3])})
    assert "verdict led to STEP at step 3" in replay(sealed(*changes), "r1").faults[0]


def test_what_people_did_comes_out_the_same() -> None:
    """Pause, resume, and a promotion without the evidence."""
    paused = pause(begun(), "bob")
    resumed = resume(paused, "bob")
    promoted = promote(resumed, "bob", 3.0)
    trail = sealed(
        started(),
        acted(Action.PAUSE, paused, 1.0),
        acted(Action.RESUME, resumed, 2.0),
        acted(Action.PROMOTE, promoted, 3.0),
    )
    assert replay(trail, "r1").faults == ()


def test_what_people_gave_as_reasons_comes_out_the_same() -> None:
    """Whatever they wrote."""
    paused = pause(begun(), "bob", "lunch")
    promoted = promote(resume(paused, "bob", "back"), "bob", 3.0, "it is fine")
    trail = sealed(
        started(),
        acted(Action.PAUSE, paused, 1.0),
        acted(Action.RESUME, resume(paused, "bob", "back"), 2.0),
        acted(Action.PROMOTE, promoted, 3.0),
        acted(Action.ABORT, abort(promoted, "bob", "it is not"), 4.0),
    )
    assert replay(trail, "r1").faults == ()


def test_a_latency_limit_may_be_fixed_once() -> None:
    """Later it would drift with the traffic."""
    unknown = begun().model_copy(update={"limit_ms": None})
    begin = started().model_copy(update={"rollout": unknown})
    first, second = (unknown.model_copy(update={"limit_ms": limit_ms}) for limit_ms in (5.0, 6.0))
    trail = sealed(begin, acted(Action.LIMIT, first, 1.0), acted(Action.LIMIT, second, 2.0))
    assert [fault.split(":")[0] for fault in replay(trail, "r1").faults] == ["entry 3"]


def test_a_policy_with_a_latency_limit_reads_back() -> None:
    """Its text names the defaults too."""
    policy = Policy(guards=Guards(latency=LatencyGuard(limit_ms=50)))
    change = started().model_copy(update={"rollout": begun(policy)})
    assert sealed(change)[0].change == change
