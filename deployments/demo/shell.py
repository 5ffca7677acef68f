"""Shell: commands as a person would type them, shown before they run, and stopped when the demo ends."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from deployments.processes import stop, stop_if_asked
from serve.base.errors import ServerFailed

_STOP_TIMEOUT_S = 30

Say = Callable[[str], None]
Child = subprocess.Popen[bytes]


class Shell:
    """Runs commands in one folder. Their words begin with `counterweight` or `python`."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self.say = say

    def run(self, *words: str, accepted: Collection[int] = (0,)) -> int:
        """The exit code, which is one of `accepted`; what the command prints goes to standard error.

        Raises ServerFailed on any other exit code."""
        child = self._start(words, stdout=sys.stderr)
        try:
            child.wait()
        finally:
            end(child)
        stop_if_asked()
        if child.returncode not in accepted:
            raise ServerFailed(f"{shlex.join(words)} ended with exit code {child.returncode}; see above")
        return child.returncode

    @contextmanager
    def beside(self, log: Path, *words: str) -> Iterator[Child]:
        """The command, which runs meanwhile and writes to `log`; ended afterwards."""
        child = self.launch(log, *words)
        try:
            yield child
        finally:
            end(child)

    def launch(self, log: Path, *words: str) -> Child:
        """The command, which runs until it is ended and writes to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            return self._start(words, stdout=file, stderr=file)

    def _start(self, words: tuple[str, ...], **streams: Any) -> Child:
        self.say(f"$ {shlex.join(words)}")
        program, *rest = words
        modules = ["-m", "counterweight"] if program == "counterweight" else []
        # A session of its own: Ctrl-C reaches us alone, and we stop the children in order.
        return subprocess.Popen(
            [sys.executable, *modules, *rest],
            cwd=self._folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            **streams,
        )


def end(child: Child) -> None:
    """Ask the process to end, and kill it and all below it when it does not."""
    if child.poll() is not None:
        return
    tree = [psutil.Process(child.pid)]
    child.terminate()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        stop(tree, timeout_s=5)
        child.wait()
