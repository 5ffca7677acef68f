"""The signals that end a load test early."""

import os
import signal

import pytest

from loadtests.sending.end_signals import end_signals, interrupting


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_each_is_as_ctrl_c_is(number: signal.Signals) -> None:
    """Each signal raises KeyboardInterrupt in the context, and its handler is restored afterwards."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interrupting():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_what_is_to_be_ignored_is() -> None:
    """A signal that the process ignores, as under nohup, is ignored in the context, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert end_signals() == (signal.SIGINT, signal.SIGTERM)
        with interrupting():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
