import subprocess
import sys

import pytest

import counterweight
from counterweight import COMMANDS, main
from serve.base.errors import InvalidBundle

HEAVY = {"torch", "ray", "locust", "numpy", "pydantic", "onnxruntime", "matplotlib"}


def test_help_imports_nothing_heavy() -> None:
    """`--help` imports none of the heavy packages."""
    code = "import sys, counterweight; counterweight.main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "example: counterweight demo" in done.stdout
    assert not HEAVY & {name.split(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """The help of each command has an example and imports neither torch nor ray nor locust."""
    code = f"""
import sys, counterweight
try: counterweight.main([{command!r}, '--help'])
except SystemExit as end: assert end.code == 0
print(*sys.modules, file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"counterweight {command}" in done.stdout
    assert not {"torch", "ray", "locust"} & {name.split(".")[0] for name in done.stderr.split()}


def test_an_unknown_command_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The command exits with 2, and the message lists the known commands."""
    assert main(["fly"]) == 2
    shown = capsys.readouterr().err
    assert "no command 'fly'" in shown
    assert all(command in shown for command in COMMANDS)


def test_ctrl_c_is_130_also_in_the_background() -> None:
    """Ctrl-C exits with 130 even if the shell started the command with SIGINT ignored."""
    code = """
import os, signal, counterweight
def room(arguments): os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.SIG_IGN)
counterweight.COMMANDS = {"room": ("__main__:room", "")}
raise SystemExit(counterweight.main(["room"]))"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 130


def test_an_error_of_ours_is_a_message_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user sees one line that says what is wrong, and no traceback."""

    def fail(arguments: list[str]) -> int:
        raise InvalidBundle("models is no folder")

    monkeypatch.setattr(counterweight, "importlib", _Rooms(fail))
    assert main(["show", "models"]) == 2
    assert capsys.readouterr().err == "counterweight: models is no folder\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is raised with its traceback."""

    def fail(arguments: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(counterweight, "importlib", _Rooms(fail))
    with pytest.raises(ZeroDivisionError):
        main(["show"])


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C gives exit code 130, as shells expect."""

    def interrupt(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(counterweight, "importlib", _Rooms(interrupt))
    assert main(["show"]) == 130


class _Rooms:
    """Stands in for the import of a room: every command is `function`."""

    def __init__(self, function: object) -> None:
        self.show = function

    def import_module(self, name: str) -> "_Rooms":
        return self
