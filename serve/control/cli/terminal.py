"""Terminal: lines that are painted again and again in the same place, or written one after the other."""

import os
import shutil
import time
from typing import Protocol, Self, TextIO

from serve.control.cli.rollout_view import render, summary
from serve.rollout.api_records import RolloutView


class Screen(Protocol):
    """What a rollout is shown on while it runs."""

    def show(self, view: RolloutView, trouble: str) -> None:
        """As it stands now; `trouble` is why it could not be asked for since, or empty."""
        ...


class Terminal:
    """A terminal that can be repainted. The last view stays on it afterwards."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: list[str] = []

    def __enter__(self) -> Self:
        # The other screen, and no cursor.
        self._write("\x1b[?1049h\x1b[?25l")
        return self

    def __exit__(self, *raised: object) -> None:
        self._write("\x1b[?25h\x1b[?1049l" + "".join(f"{line}\n" for line in self._last))

    def show(self, view: RolloutView, trouble: str) -> None:
        """Paint it over what was there."""
        width, height = shutil.get_terminal_size()
        self._last = render(view, time.time(), width)
        hint = trouble or "bars: the evidence towards its line. Ctrl-C ends this view, not the rollout."
        lines = [*self._last, "", hint[:width]][:height]
        self._write("\x1b[H" + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class PlainLog:
    """A file or a pipe: a line for each change."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def show(self, view: RolloutView, trouble: str) -> None:
        """Write what is new."""
        line = trouble or summary(view)
        if line != self._last:
            self._stream.write(f"{time.strftime('%H:%M:%S')} {line}\n")
            self._stream.flush()
            self._last = line


def open_screen(stream: TextIO) -> Terminal | PlainLog:
    """The one that `stream` is fit for."""
    live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Terminal(stream) if live else PlainLog(stream)
