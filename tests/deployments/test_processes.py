import signal
import subprocess
import sys

import psutil
import pytest

from deployments.processes import descendants, stop, stop_if_signalled

# A process with a child; both ignore SIGTERM when told to.
FAMILY = """
import signal, subprocess, sys, time
if sys.argv[1] == "stubborn": signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 2: subprocess.Popen([sys.executable, "-c", sys.stdin.read(), sys.argv[1], "child"])
print("up", flush=True)
time.sleep(600)
"""


def start_family(manner: str) -> "subprocess.Popen[str]":
    """A process whose child is up too."""
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY, manner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(FAMILY)
    process.stdin.close()
    for _ in range(2):
        assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("manner", ["willing", "stubborn"])
def test_ends_a_process_and_all_below_it(manner: str) -> None:
    """A process and its descendants are ended, even if they ignore SIGTERM."""
    with start_family(manner) as process:
        family = [psutil.Process(process.pid), *descendants(process.pid)]
        assert len(family) == 2
        stop(family[:1], timeout_s=1)
        assert not [member for member in family if member.is_running() and member.status() != "zombie"]


def test_a_process_that_is_gone_has_no_descendants() -> None:
    """A process that has ended has no descendants."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert descendants(process.pid) == []


def test_a_signal_that_was_swallowed_is_raised_later() -> None:
    """A KeyboardInterrupt that was swallowed is raised by the next `stop_if_signalled`."""
    code = """
import os, signal
from deployments.processes import stop_if_signalled, stop_on_signals
stop_on_signals()
stop_if_signalled()
try: os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt: pass
stop_if_signalled()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert "line 8" in done.stderr


def test_without_a_signal_nothing_is_raised() -> None:
    """Without a signal `stop_if_signalled` raises nothing."""
    stop_if_signalled()


# A guarded process that prints its number, waits, and prints how it was ended.
GUARDED = """
import os, sys, time
from deployments.processes import go_on_guarded
go_on_guarded()
try:
    print(os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("in order", flush=True)
sys.exit(3)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_guarded_process_stops_in_order(number: signal.Signals) -> None:
    """A guarded process stops in order after any signal to its guard, even SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", GUARDED], stdout=subprocess.PIPE, text=True) as guard:
        assert guard.stdout is not None
        assert int(guard.stdout.readline()) != guard.pid
        guard.send_signal(number)
        assert guard.stdout.read() == "in order\n"
    assert guard.returncode == (3 if number != signal.SIGKILL else -signal.SIGKILL)


def test_a_guard_ends_what_a_killed_process_leaves() -> None:
    """A guard ends the processes that a killed one leaves, and exits with 128 plus the signal."""
    code = GUARDED.replace("print(os", "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, os")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as guard:
        assert guard.stdout is not None
        left, guarded = (psutil.Process(int(number)) for number in guard.stdout.readline().split())
        guarded.kill()
    assert guard.returncode == 128 + signal.SIGKILL
    # The process is dead, but its new parent may take a moment to reap it.
    left.wait(60)
