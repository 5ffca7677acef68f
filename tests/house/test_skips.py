import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.test_arrows import ROOT

_SKIPPED = """
import pytest

@pytest.fixture
def program():
    pytest.skip("not installed")

def test_with(program): ...

def test_inside():
    pytest.skip("not today")
"""


@pytest.mark.parametrize(("settings", "exit_code"), [({}, 0), ({"FAIL_SKIPS": "1"}, 1)])
def test_a_skipped_test_fails_only_where_the_environment_asks_for_it(
    settings: dict[str, str], exit_code: int, tmp_path: Path
) -> None:
    """A skipped test fails the run only if `FAIL_SKIPS` is set."""
    (tmp_path / "test_it.py").write_text(_SKIPPED)
    environment = {name: value for name, value in os.environ.items() if name != "FAIL_SKIPS"} | settings
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == exit_code, ended.stdout
    assert ("skipped in" in ended.stdout) is (exit_code == 0)


def test_a_file_that_is_skipped_whole_fails(tmp_path: Path) -> None:
    """A file that skips itself because a package is missing fails the run if `FAIL_SKIPS` is set."""
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('not_installed')\n")
    environment = os.environ | {"FAIL_SKIPS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    # 2 is pytest's code for an error while it collects.
    assert ended.returncode == 2, ended.stdout
