from pathlib import Path

import pytest

from deployments.demo.shell import Shell
from serve.base.errors import ServerFailed


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def shell(tmp_path: Path, said: list[str]) -> Shell:
    return Shell(tmp_path, said.append)


def test_a_command_is_shown_as_one_would_type_it(shell: Shell, said: list[str]) -> None:
    """The command is printed with shell quotes before it runs."""
    assert shell.run("python", "-c", "raise SystemExit(3)", accepted=(0, 3)) == 3
    assert said == ["$ python -c 'raise SystemExit(3)'"]


def test_an_exit_code_that_was_not_expected_ends_the_demo(shell: Shell) -> None:
    """The message names the command and the code."""
    with pytest.raises(ServerFailed, match=r"python -c .* ended with exit code 3"):
        shell.run("python", "-c", "raise SystemExit(3)")


def test_what_runs_beside_ends_with_its_part_of_the_demo(shell: Shell, tmp_path: Path) -> None:
    """A command beside the demo is ended with SIGTERM when its part is over."""
    log = tmp_path / "log" / "sleep.log"
    with shell.beside(log, "python", "-c", "import time; time.sleep(600)") as child:
        assert child.poll() is None
    assert child.returncode == -15
    assert log.read_text() == ""
