"""Processes that we start, and how every one of them ends."""

import ctypes
import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_asked = threading.Event()


def stop_on_signals() -> None:
    """Make Ctrl-C and SIGTERM raise KeyboardInterrupt, also where a shell started us with SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)


def stop_if_asked() -> None:
    """Raise the KeyboardInterrupt of an earlier signal: Python drops one that comes while it forks."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _on_signal(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt


def adopt_orphans() -> None:
    """Make this process the parent of whatever its descendants leave behind, so that it can be found."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """Every process below this one, or below `pid`; none when it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def stop(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    """End these processes and all below them: asked first, killed after `timeout_s`."""
    known = {process for root in processes for process in [root, *descendants(root.pid)]}
    _send(known, signal.SIGTERM)
    _, alive = psutil.wait_procs(known, timeout=timeout_s)
    # What started meanwhile must not be left behind either.
    known = {process for root in alive for process in [root, *descendants(root.pid)]}
    _send(known, signal.SIGKILL)
    psutil.wait_procs(known, timeout=timeout_s)


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
