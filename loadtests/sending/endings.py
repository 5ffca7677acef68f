"""Endings: the signals that end a load test early, so that what was measured is printed and written.

Ctrl-C sends SIGINT, a CI job's time limit and `docker stop` send SIGTERM, and a lost terminal SIGHUP."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heeded() -> tuple[signal.Signals, ...]:
    """Those that this process was not told to ignore, as `nohup` does; Ctrl-C in any case."""
    return tuple(
        ending
        for ending in _ENDINGS
        if ending is signal.SIGINT or signal.getsignal(ending) is not signal.SIG_IGN
    )


@contextmanager
def interrupting() -> Iterator[None]:
    """Within, each of them is a KeyboardInterrupt, as Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {ending: signal.getsignal(ending) for ending in heeded() if ending is not signal.SIGINT}
    for ending in before:
        signal.signal(ending, signal.default_int_handler)
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
