"""History: rollouts in lists, for a terminal of so many columns. Pure."""

import textwrap
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from serve.control import RolloutLine
from serve.remote.words import duration, printable
from serve.rollout.rollout import Phase

_LEAST_REASON = 20


def overview(newest: Mapping[str, RolloutLine | None], now_s: float, width: int) -> list[str]:
    """Each model's newest rollout in a line; None: it never had one."""
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


def history(lines: Sequence[RolloutLine], now_s: float, width: int) -> list[str]:
    """A model's rollouts, each with how it ended and why."""
    shown: list[str] = []
    for line in lines:
        times = f"{duration(now_s - line.started_s)} ago, for {duration(line.changed_s - line.started_s)}"
        if not line.phase.over:
            times = f"for {duration(now_s - line.started_s)} until now"
        shown.append(f"{line.rollout}  to {line.candidate}: {_place(line)}")
        shown.append(f"    started {times}; last changed by {line.by}")
        shown += textwrap.wrap(line.reason, width, initial_indent="    ", subsequent_indent="    ")
    return [printable(line) for line in shown]


def _place(line: RolloutLine) -> str:
    return f"{line.phase} {line.step}" if line.step and line.phase is not Phase.DONE else str(line.phase)
