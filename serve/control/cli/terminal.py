"""Show a rollout in a terminal that is repainted, or as lines in a log."""

import os
import shutil
import time
from typing import Protocol, Self, TextIO

from serve.control.cli.rollout_view import render, summary
from serve.rollout.api_records import RolloutView


class Screen(Protocol):
    """Shows a rollout while it is in progress."""

    def show(self, view: RolloutView, trouble: str) -> None:
        """Show its present state; `trouble` says why the server does not answer, or is empty."""
        ...


class Terminal:
    """A terminal that is repainted. The last view stays visible at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: list[str] = []

    def __enter__(self) -> Self:
        # Switch to the alternate screen and hide the cursor.
        self._write("\x1b[?1049h\x1b[?25l")
        return self

    def __exit__(self, *raised: object) -> None:
        self._write("\x1b[?25h\x1b[?1049l" + "".join(f"{line}\n" for line in self._last))

    def show(self, view: RolloutView, trouble: str) -> None:
        """Paint over the previous view."""
        width, height = shutil.get_terminal_size()
        self._last = render(view, time.time(), width)
        hint = trouble or "bars: evidence, relative to the threshold. Ctrl-C ends this view, not the rollout."
        lines = [*self._last, "", hint[:width]][:height]
        self._write("\x1b[H" + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class PlainLog:
    """A file or a pipe: one line per change."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def show(self, view: RolloutView, trouble: str) -> None:
        """Write a line if something has changed."""
        line = trouble or summary(view)
        if line != self._last:
            self._stream.write(f"{time.strftime('%H:%M:%S')} {line}\n")
            self._stream.flush()
            self._last = line


def open_screen(stream: TextIO) -> Terminal | PlainLog:
    """The kind of screen that `stream` supports."""
    live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Terminal(stream) if live else PlainLog(stream)
