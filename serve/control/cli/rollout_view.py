"""Format a rollout as lines for a terminal of a given width. Pure."""

import re
import textwrap
from collections.abc import Iterator

from serve.control.cli.text_format import duration, percent, printable
from serve.counting.count_delta import Disagreement
from serve.rollout.api_records import RolloutView
from serve.rollout.state.rollout import Phase, Rollout

_BAR = 8
# The column where the text of labelled lines begins.
_INDENT = 12
# While a rollout is in progress, a long reason must not push the rest off the screen.
_MOST_LINES = 4
# Shorter forms of a figure's text, so that it fits into one line; the JSON has all counts.
_SHORTER = (
    (re.compile(r"[\d,]+ of [\d,]+ \(([\d.]+%)\)"), r"\1"),
    (re.compile(r"^[\d,]+ of [\d,]+ pairs differ, "), ""),
    (re.compile(r"^over ([\d.]+) times the baseline's p\d+"), r"over \1x"),
    (re.compile(" of the baseline's|^the candidate got "), ""),
    (re.compile(r"(?<=\d) times( as often)?"), "x"),
    (re.compile(" requests(?=, expected)"), ""),
)


def render(view: RolloutView, now_s: float, width: int) -> list[str]:
    """Format the whole view; `now_s` is in seconds since 1970."""
    lines = [
        *_head(view, now_s, width),
        "",
        *_figures(view),
        *_shadow(view, now_s),
        *_words(view, now_s, width),
    ]
    return [_fit(printable(line), width) for line in lines]


def summary(view: RolloutView) -> str:
    """One line that changes only when something happened."""
    rollout = view.rollout
    target = f"{percent(rollout.share)} asked"
    return printable(f"{rollout.rollout}: {place(rollout)}, {target}; {rollout.by}: {rollout.reason}")


def place(rollout: Rollout) -> str:
    """The phase, with the step if it matters."""
    if rollout.phase in (Phase.SHADOW, Phase.WATCHING, Phase.DONE) or not rollout.step:
        return str(rollout.phase)
    return f"{rollout.phase} {rollout.step} of {len(rollout.policy.steps)}"


def _head(view: RolloutView, now_s: float, width: int) -> Iterator[str]:
    rollout = view.rollout
    plan = rollout.plan
    yield _ends(f"{plan.model}: {plan.baseline} -> {plan.candidate}", rollout.rollout, width)
    split = f"{percent(rollout.share)} asked, {percent(view.served)} served"
    if rollout.phase is Phase.SHADOW:
        split = f"gets copies of {percent(rollout.shadow_share)}, answers nobody"
    if rollout.phase.over:
        split = f"all traffic to {plan.candidate if rollout.phase is Phase.DONE else plan.baseline}"
    here = "" if rollout.phase.over else f"for {duration(now_s - rollout.entered_s)}"
    if rollout.phase is Phase.DONE:
        # The next rollout starts from the baseline.
        offered = f"new baseline: counterweight rollout accept {plan.model}"
        here = "it is the baseline now" if rollout.accepted else offered
    yield _ends(f"{place(rollout)}   {split}", here, width)
    *before, last = textwrap.wrap(_steps(rollout), width, subsequent_indent="  ")
    ran, most = duration(now_s - rollout.started_s), duration(rollout.policy.maximum_s)
    lines = [*before, last if rollout.phase.over else _ends(last, f"{ran} in all, at most {most}", width)]
    yield from (line.replace("\N{NO-BREAK SPACE}", " ") for line in lines)


def _steps(rollout: Rollout) -> str:
    """All steps, with the present one in brackets and a star at steps that need approval."""
    policy = rollout.policy
    names = ["no shadow" if policy.shadow.skip else "shadow"]
    shares = [percent(policy.share_at(number)) for number in range(1, len(policy.steps) + 1)]
    names += [
        f"{share}{'*' if step.approval else ''}" for share, step in zip(shares, policy.steps, strict=True)
    ]
    names += ["watch"] if policy.watch_s else []
    present = len(names) - 1 if rollout.share == 1 else rollout.step
    names[present] = f"[{names[present]}]"
    star = "   (* needs approval)" if any(step.approval for step in policy.steps) else ""
    # A step must not be split over two lines.
    return " > ".join(name.replace(" ", "\N{NO-BREAK SPACE}") for name in names) + star


def _figures(view: RolloutView) -> Iterator[str]:
    if view.verdict is None:
        return
    # Other figures have no data yet, or nothing to prove.
    figures = [figure for figure in view.verdict.figures if (figure.harm, figure.safe) != (None, None)]
    wide = max(len(figure.guard) for figure in figures)
    yield f"{'guard':<{wide}}  {'harm':<{_BAR}}  {'proof':<{_BAR}}  seen"
    for figure in figures:
        harm = bar(figure.harm, figure.harm_at, "!" if figure.suspicious or figure.harmful else "#")
        proof = bar(figure.safe, figure.safe_at, "#")
        limited = figure.guard == "latency" and view.rollout.limit_ms is not None
        seen = f"over {view.rollout.limit_ms:.3g} ms: {figure.seen}" if limited else figure.seen
        yield f"{figure.guard:<{wide}}  {harm}  {proof}  {_shorten(seen)}"
    yield ""


def bar(evidence: float | None, line: float | None, mark: str) -> str:
    """Evidence relative to its threshold, as a bar; blank if there is none."""
    if evidence is None or line is None:
        return " " * _BAR
    filled = min(max(int(_BAR * evidence / line), 0), _BAR)
    return (mark * filled).ljust(_BAR, ".")


def _shorten(seen: str) -> str:
    for pattern, shorter in _SHORTER:
        seen = pattern.sub(shorter, seen)
    return seen


def _shadow(view: RolloutView, now_s: float) -> Iterator[str]:
    seen = view.evidence.shadow
    if not seen.pairs and not view.evidence.dropped:
        return
    agree = seen.pairs - seen.disagreements
    text = f"{agree:,} of {seen.pairs:,} pairs agree ({agree / max(seen.pairs, 1):.2%})"
    text += f", the candidate failed in {seen.failures:,}" if seen.failures else ""
    yield f"{'shadow':<{_INDENT}}{text}; {view.evidence.dropped:,} copies dropped"
    for pair in view.disagreements[:3]:
        yield " " * _INDENT + _pair(pair, now_s)
    yield ""


def _pair(pair: Disagreement, now_s: float) -> str:
    sort = f", slice {pair.slice}" if pair.slice else ""
    ago = duration(now_s - pair.at_s)
    return f"{pair.output}: {pair.baseline} -> {pair.candidate}{sort}, {ago} ago"


def _words(view: RolloutView, now_s: float, width: int) -> Iterator[str]:
    """The reason for the present phase, and what the rollout waits for."""
    rollout, verdict = view.rollout, view.verdict
    for warning in view.warnings:
        yield from _labelled("warning", warning, width)
    if rollout.phase.over:
        # If all is well, the figures above show the details.
        most = _MOST_LINES if rollout.phase is Phase.DONE else None
        yield from _labelled("because", f"{rollout.by}: {rollout.reason}", width, most)
        yield from _advice(view, width)
        return
    yield from _labelled("came here", f"{rollout.by}: {rollout.reason}", width, 1)
    if rollout.phase is Phase.WAITING_APPROVAL:
        following = percent(rollout.policy.share_at(rollout.step + 1))
        text = f"approval of {following}: counterweight rollout promote {rollout.plan.model}"
    elif rollout.phase is Phase.PAUSED:
        text = f"a person: counterweight rollout resume {rollout.plan.model} (or promote, or abort)"
    else:
        text = "the first verdict" if verdict is None else verdict.reason
        if view.judged_s is not None and verdict is not None:
            text = f"{text} (judged {duration(now_s - view.judged_s)} ago)"
    yield from _labelled("waits for", text, width, _MOST_LINES)
    yield from _advice(view, width)


def _advice(view: RolloutView, width: int) -> Iterator[str]:
    for advice in view.advice:
        yield from _labelled("advice", advice, width)


def _labelled(label: str, text: str, width: int, most: int | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        # A narrower terminal has no room for words; what is too wide is cut off.
        max(width, 2 * _INDENT),
        initial_indent=f"{label:<{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        max_lines=most,
        placeholder=" ...",
    )


def _ends(left: str, right: str, width: int) -> str:
    """Align one text left and the other right, if both fit."""
    room = width - len(left) - 2
    return f"{left}  {right:>{room}}" if right and len(right) <= room else left


def _fit(line: str, width: int) -> str:
    return line if len(line) <= width else line[: max(width - 3, 0)] + "..."[:width]
