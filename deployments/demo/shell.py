"""Runs commands as a person would type them, and prints each before it runs."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from deployments.processes import stop, stop_if_signalled
from serve.base.errors import ServerFailed

_STOP_TIMEOUT_S = 30

Say = Callable[[str], None]
Child = subprocess.Popen[bytes]


class Shell:
    """Runs commands in one folder. The first word of a command is `counterweight` or `python`."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self.say = say

    def run(self, *words: str, accepted: Collection[int] = (0,)) -> int:
        """Run a command to its end, with its output on standard error, and return its exit code.

        Raises ServerFailed if the exit code is not one of `accepted`."""
        child = self._start(words, stdout=sys.stderr)
        try:
            child.wait()
        finally:
            end(child)
        stop_if_signalled()
        if child.returncode not in accepted:
            raise ServerFailed(f"{shlex.join(words)} ended with exit code {child.returncode}; see above")
        return child.returncode

    @contextmanager
    def beside(self, log: Path, *words: str) -> Iterator[Child]:
        """Run a command while the context is open, with its output in `log`, and end it afterwards."""
        child = self.launch(log, *words)
        try:
            yield child
        finally:
            end(child)

    def launch(self, log: Path, *words: str) -> Child:
        """Start a command that runs until `end`, with its output in `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            return self._start(words, stdout=file, stderr=file)

    def _start(self, words: tuple[str, ...], **streams: Any) -> Child:
        self.say(f"$ {shlex.join(words)}")
        program, *rest = words
        modules = ["-m", "counterweight"] if program == "counterweight" else []
        # In a new session, so that Ctrl-C reaches only this process, which stops the children in order.
        return subprocess.Popen(
            [sys.executable, *modules, *rest],
            cwd=self._folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            **streams,
        )


def end(child: Child) -> None:
    """Terminate the process. If it does not end in time, kill it and its descendants."""
    if child.poll() is not None:
        return
    tree = [psutil.Process(child.pid)]
    child.terminate()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        stop(tree, timeout_s=5)
        child.wait()
