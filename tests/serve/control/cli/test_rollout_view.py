from collections.abc import Sequence
from functools import cache

import pytest

from serve.control.cli.rollout_view import bar, render, summary
from serve.rollout.api_records import RolloutView
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.state.policy import Policy, ShadowPolicy, Step
from serve.rollout.state.rollout import Phase
from tests.serve.local_control import LocalControl
from tests.serve.model_keeper import NOW_S
from tests.serve.rollout.rollouts import at_step
from tests.serve.rollout.stores import routes_of
from tests.serve.rollout_stages import Stage

RUNS = "linear-20261122-152000-3f9a"


@cache
def view(stage: Stage = "step") -> RolloutView:
    """Return the view of a rollout at `stage`, with verdicts by the real judge."""
    seen: RolloutView = LocalControl(stage).keeper.command("view", RUNS)
    return seen


def early(phase: Phase = Phase.STEP, policy: Policy | None = None, step: int = 1) -> RolloutView:
    """A rollout of which nothing is known yet."""
    rollout = at_step(step, policy).model_copy(update={"phase": phase})
    return RolloutView(
        rollout=rollout,
        number=1,
        routes=routes_of(rollout, 1),
        evidence=Evidence(),
        verdict=None,
        judged_s=None,
        served=None,
        disagreements=(),
    )


def line(lines: Sequence[str], start: str) -> str:
    """Return the only line that starts with `start`."""
    [found] = [each for each in lines if each.startswith(start)]
    return found


@pytest.mark.parametrize("stage", ["shadow", "step", "watched", "done", "rolled back"])
def test_a_view_fits_a_small_terminal(stage: Stage) -> None:
    """A view fits into 80 columns and 22 rows."""
    lines = render(view(stage), NOW_S, 80)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 22


@pytest.mark.parametrize("width", [1, 10, 20, 40, 200])
def test_a_view_fits_any_terminal(width: int) -> None:
    """No line of a view is wider than the terminal."""
    assert max(map(len, render(view(), NOW_S, width))) <= width


def test_the_present_step_is_marked() -> None:
    """The present step is bracketed, with the share that was asked for and the share that was served."""
    lines = render(view(), NOW_S, 80)
    assert "1 % > 5 % > [25 %] > 50 % > 95 % > watch" in lines[2]
    assert lines[1].startswith("STEP 3 of 5   25 % asked, 25 % served")


def test_a_bar_says_how_far_the_evidence_is() -> None:
    """Negative evidence gives an empty bar, and missing evidence a blank one."""
    assert bar(2.9, 5.8, "#") == "####...."
    assert bar(-3.0, 5.8, "#") == "........"
    assert bar(99.0, 5.8, "#") == "########"
    assert bar(None, 5.8, "#") == "        "


def test_harm_stands_out() -> None:
    """Shown harm fills its bar with `!`, and the reason below names who decided."""
    lines = render(view("rolled back"), NOW_S, 80)
    assert line(lines, "errors").split()[1] == "!!!!!!!!"
    assert line(lines, "because").startswith("because     judge: harm shown at 25 % of the traffic: errors")


def test_a_figure_keeps_its_point_in_80_columns() -> None:
    """In 80 columns a figure has both rates, their ratio and its interval."""
    lines = render(view(), NOW_S, 80)
    assert line(lines, "errors").endswith("  0.22% against 0.08%, 1.34x [0.0631, 7.94]")
    assert line(lines, "disagreement").endswith("  0.30% [0.01%, 1.43%], allowed 2.00%")


def test_the_latency_limit_is_named() -> None:
    """The line of latency has the limit."""
    assert "  over 10.5 ms: 0.00% against 0.00%" in line(render(view(), NOW_S, 80), "latency")


def test_the_shadow_has_its_agreement_and_its_drops() -> None:
    """The view shows the shadow's agreement, its dropped copies and the last differing pairs."""
    lines = render(view("shadow"), NOW_S, 80)
    assert line(lines, "shadow  ").endswith("631 of 640 pairs agree (98.59%); 17 copies dropped")
    assert any("y: 1 (0.60) -> 0 (0.54), slice us, 9 min 17 s ago" in each for each in lines)


def test_a_warning_stands_before_what_it_waits_for() -> None:
    """A warning stands directly above the line `waits for`."""
    warned = early().model_copy(update={"warnings": ("nobody has judged for 12 s",)})
    lines = render(warned, 0.0, 80)
    assert lines.index("warning     nobody has judged for 12 s") < lines.index(line(lines, "waits for"))


def test_before_the_first_verdict_that_is_what_it_waits_for() -> None:
    """Before the first verdict the view has no guards, and the line `waits for` says so."""
    lines = render(early(), 60.0, 80)
    assert lines[-1] == "waits for   the first verdict"
    assert lines[1].split("   ")[1] == "1 % asked, - served"


def test_a_step_that_waits_for_approval_says_what_to_type() -> None:
    """The view gives the command that approves the step and the share that follows."""
    policy = Policy(steps=(Step(share=0.1), Step(share=1, approval=True)))
    lines = render(early(Phase.WAITING_APPROVAL, policy), 60.0, 80)
    assert lines[-1] == "waits for   approval of 95 %: counterweight rollout promote digits"
    assert lines[2].startswith("shadow > [10 %] > 95 %* > watch   (* needs approval)")


def test_a_paused_rollout_says_what_to_type() -> None:
    """The view of a paused rollout gives the command that resumes it."""
    assert "counterweight rollout resume digits" in render(early(Phase.PAUSED), 60.0, 80)[-1]


def test_a_rollout_without_a_shadow_says_so() -> None:
    """A rollout whose policy skips the shadow is shown as `no shadow`."""
    policy = Policy(shadow=ShadowPolicy(skip=True))
    assert render(early(policy=policy), 60.0, 80)[2].startswith("no shadow > [1 %] > 5 %")


def test_words_of_a_request_cannot_steer_the_terminal() -> None:
    """Control characters in a request's slice are replaced in the view."""
    seen = view("shadow")
    pair = seen.disagreements[0].model_copy(update={"slice": "\x1b]0;me\x07"})
    lines = render(seen.model_copy(update={"disagreements": (pair,)}), NOW_S, 80)
    assert "".join(lines).isprintable()
    assert "slice ?]0;me?" in "".join(lines)


def test_the_summary_changes_only_when_something_happened() -> None:
    """The summary stays the same if only the time, the served share or the evidence changes."""
    before = view()
    after = before.model_copy(update={"judged_s": NOW_S + 1, "served": 0.3, "evidence": Evidence()})
    assert summary(after) == summary(before)
    assert summary(before).startswith(f"{RUNS}: STEP 3 of 5, 25 % asked; judge: safe to go on at 5 %")


def test_all_traffic_is_watched() -> None:
    """A watched rollout shows the time that has passed and the time that is needed."""
    lines = render(view("watched"), NOW_S, 80)
    assert lines[1].startswith("WATCHING   100 % asked")
    assert "50 % > 95 % > [watch]" in lines[2]
    assert "watched for 50 of 3,600 s" in " ".join(lines)


def test_advice_stands_whole_below_what_the_rollout_waits_for() -> None:
    """Advice is shown in full below the line of what the rollout waits for."""
    words = [f"word{number}" for number in range(60)]
    lines = render(view().model_copy(update={"advice": (" ".join(words),)}), NOW_S, 80)
    start = lines.index(next(each for each in lines if each.startswith("advice ")))
    assert " ".join(lines[start:]).split() == ["advice", *words]
    assert any(each.startswith("waits for ") for each in lines[:start])
