import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from serve.base.errors import ServerFailed
from serve.control.cli import follow_command as following
from serve.control.cli.control_client import ControlClient
from serve.control.cli.follow_command import follow
from serve.control.cli.terminal import PlainLog, open_screen
from serve.control.operations import VIEW
from serve.rollout.api_records import RolloutView
from serve.rollout.state.rollout import Phase
from tests.serve.control.cli.conftest import Type
from tests.serve.control.cli.test_rollout_view import view
from tests.serve.endpoint import Endpoint
from tests.serve.receiver import Receiver, Reply
from tests.serve.rollout_stages import Stage

# A stream to a terminal, and a function that returns its output.
Tty = tuple[TextIO, Callable[[], str]]
RUNS = "linear-20261122-152000-3f9a"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_PAUSE_S", 0.01)


class Acting:
    """A screen that runs the next planned act after each view."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self._acts = list(acts)
        self.shown: list[tuple[Phase, str]] = []

    def show(self, view: RolloutView, trouble: str) -> None:
        """Note the view, then run the next planned act."""
        self.shown.append((view.rollout.phase, trouble))
        if self._acts:
            self._acts.pop(0)()


def test_a_rollout_is_followed_to_its_end(type: Type, endpoint: Endpoint) -> None:
    """Each change of phase is shown until the rollout is over."""
    screen = Acting(lambda: type("rollout", "pause", RUNS), lambda: type("rollout", "abort", RUNS))
    client = ControlClient(endpoint.url)
    last = follow(client, client.ask(VIEW, RUNS), screen)
    assert [phase for phase, _ in screen.shown] == [Phase.STEP, Phase.PAUSED, Phase.ROLLED_BACK]
    assert last.rollout.reason == "aborted"


def test_a_server_that_is_restarted_is_waited_for(endpoint: Endpoint) -> None:
    """While the server restarts, the trouble is shown with the last view."""
    over = view("done").model_dump_json().encode()
    with Receiver(Reply(status=503, body=b'{"error": "starting"}'), Reply(body=over)) as server:
        screen = Acting()
        follow(ControlClient(server.url), view(), screen)
    assert screen.shown == [(Phase.STEP, ""), (Phase.STEP, f"{server.url}: starting"), (Phase.DONE, "")]


def test_a_server_that_does_not_come_back_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer for too long raises an error."""
    monkeypatch.setattr(following, "_PATIENCE_S", 0.05)
    with pytest.raises(ServerFailed, match="no answer"):
        follow(ControlClient("http://127.0.0.1:1"), view(), Acting())


@pytest.mark.parametrize(("stage", "code"), [("done", 0), ("rolled back", 1)])
def test_the_exit_code_of_a_watch_is_the_end_of_the_rollout(
    type: Type, endpoint: Endpoint, stage: Stage, code: int
) -> None:
    """`--watch` exits with the code of the rollout's end, so that a job can wait for it."""
    endpoint.control.come_to(stage)
    assert type("rollout", "status", "linear", "--watch")[0] == code


def test_ctrl_c_ends_the_watch_alone(type: Type, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command, and the rollout continues."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("serve.control.cli.follow_command.time.sleep", interrupt)
    assert type("rollout", "status", "linear", "--watch")[0] == 130
    assert endpoint.control.told == []


def test_a_pipe_gets_a_line_for_each_change() -> None:
    """Without a terminal each change is printed once as a line."""
    stream = io.StringIO()
    with open_screen(stream) as screen:
        for stage in ("step", "step", "done"):
            screen.show(view(stage), "")
    lines = stream.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == ["STEP", "DONE,"]
    assert "\x1b" not in stream.getvalue()


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tty]:
    """A real terminal, which may be read once."""
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = os.openpty()
    shown: list[bytes] = []

    def collect() -> None:
        # Reading past the end of a terminal raises an error.
        with suppress(OSError):
            while piece := os.read(reader, 4096):
                shown.append(piece)

    thread = threading.Thread(target=collect)
    thread.start()

    def read() -> str:
        stream.close()
        thread.join()
        return b"".join(shown).decode()

    with open(writer, "w", encoding="utf-8") as stream:
        yield stream, read
    thread.join()
    os.close(reader)


def test_a_terminal_is_repainted_and_left_as_it_was(tty: Tty) -> None:
    """The alternate screen and the cursor are restored, and the last view stays on the terminal."""
    stream, read = tty
    with open_screen(stream) as screen:
        screen.show(view(), "")
        screen.show(view("done"), "")
    shown = read()
    assert shown.startswith("\x1b[?1049h\x1b[?25l")
    assert shown.count("\x1b[H") == 2
    _, _, after = shown.partition("\x1b[?25h\x1b[?1049l")
    assert "DONE   all traffic to light" in after
    assert "STEP 3" not in after


def test_a_terminal_that_cannot_repaint_gets_lines(tty: Tty, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that cannot be repainted gets one line per change."""
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_screen(tty[0]), PlainLog)


def test_a_view_never_scrolls_a_small_terminal(tty: Tty, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view is cut to the height of the terminal."""
    monkeypatch.setenv("LINES", "5")
    stream, read = tty
    with open_screen(stream) as screen:
        screen.show(view(), "")
    assert read().partition("\x1b[?25h")[0].count("\n") == 4
