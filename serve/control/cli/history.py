"""Format lists of rollouts and trails for a terminal of a given width. Pure."""

import textwrap
import time
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from serve.control.cli.text_format import duration, percent, printable
from serve.rollout.api_records import RolloutLine, TrailLine
from serve.rollout.judging.judge import Kind
from serve.rollout.state.rollout import Phase

_LEAST_REASON = 20
_INDENT = " " * 7


def overview(newest: Mapping[str, RolloutLine | None], now_s: float, width: int) -> list[str]:
    """One line per model with its newest rollout; None if it has none."""
    rows = [
        [
            model,
            line.candidate if line else "-",
            _place(line) if line else "no rollout yet",
            f"{duration(now_s - line.changed_s)} ago" if line else "-",
            line.by if line else "-",
        ]
        for model, line in newest.items()
    ]
    table = tabulate(rows, ["model", "to", "phase", "changed", "by"], disable_numparse=True).splitlines()
    reasons = ["because", "-------", *((line.reason if line else "-") for line in newest.values())]
    left = max(width - max(map(len, table)) - 2, _LEAST_REASON)
    pad = max(map(len, table)) + 2
    return [
        printable(f"{row:<{pad}}{textwrap.shorten(reason, left, placeholder=' ...')}").rstrip()
        for row, reason in zip(table, reasons, strict=True)
    ]


def history(lines: Sequence[TrailLine], width: int) -> list[str]:
    """The changes of a model's traffic, oldest first; verdicts that only waited are left out."""
    shown: list[str] = []
    for line in lines:
        if line.kind is Kind.CONTINUE:
            continue
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.at_s))
        shown.append(f"{line.number:>5}  {when}  {line.by}: {line.kind or line.action}{_effect(line)}")
        shown += textwrap.wrap(line.reason, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return [printable(line) for line in shown]


def _effect(line: TrailLine) -> str:
    """The phase of the rollout after the entry, and the new split."""
    words = []
    if line.phase is not None:
        words.append(f"{line.phase} {line.step}" if line.step else str(line.phase))
    if line.routes is not None:
        variants = [name for name, weight in line.routes.weights.items() if weight]
        words += [f"{percent(line.routes.share(name))} {name}" for name in variants]
        words += [f"copies of {percent(share)} to {name}" for name, share in line.routes.shadows.items()]
    return f" -> {', '.join(words)}" if words else ""


def _place(line: RolloutLine) -> str:
    whole = line.phase in (Phase.WATCHING, Phase.DONE)
    return f"{line.phase} {line.step}" if line.step and not whole else str(line.phase)
