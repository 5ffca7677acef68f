"""Start processes, and make sure that all of them end."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterable
from types import FrameType

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOPS = (signal.SIGINT, signal.SIGTERM)
_asked = threading.Event()


def stop_on_signals() -> None:
    """Make Ctrl-C and SIGTERM raise KeyboardInterrupt, even if a shell started us with SIGINT ignored."""
    for number in _STOPS:
        signal.signal(number, _on_signal)


def stop_if_signalled() -> None:
    """Raise the KeyboardInterrupt of an earlier signal, because Python drops signals during a fork."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _on_signal(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt


def go_on_guarded() -> None:
    """Continue in a child process, which is notified if this process is killed, and can then stop in order.
    This process forwards signals, and ends with the child's exit code after all descendants have ended."""
    guard = os.getpid()
    # Signals wait until both processes can handle them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    child = os.fork()
    if child:
        sys.exit(_guard(child))
    stop_on_signals()
    # Ctrl-C in a terminal must reach only the guard, or it would arrive twice.
    os.setpgid(0, 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    if os.getppid() != guard:
        raise KeyboardInterrupt


def _guard(child: int) -> int:
    """The exit code of the child, after it and all other descendants have ended."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            # Not SIGTERM, which Ray handles while it starts.
            os.kill(child, signal.SIGINT)

    adopt_orphans()
    for number in _STOPS:
        signal.signal(number, hand_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    _, status = os.waitpid(child, 0)
    stop(descendants(), timeout_s=5)
    code = os.waitstatus_to_exitcode(status)
    # The convention of shells.
    return code if code >= 0 else 128 - code


def adopt_orphans() -> None:
    """Make this process the parent of processes that its descendants leave behind, so that they can be
    found."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """All descendants of this process, or of `pid`; none if it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def stop(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    """Terminate these processes and their descendants, and kill the rest after `timeout_s`."""
    known = {process for root in processes for process in [root, *descendants(root.pid)]}
    _send(known, signal.SIGTERM)
    _, alive = psutil.wait_procs(known, timeout=timeout_s)
    # Processes that started meanwhile must end as well.
    known = {process for root in alive for process in [root, *descendants(root.pid)]}
    _send(known, signal.SIGKILL)
    psutil.wait_procs(known, timeout=timeout_s)


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
