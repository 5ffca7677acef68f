import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtests.errors import LoadTestError
from loadtests.qualify.cli import qualify as command
from serve.control import RolloutView
from serve.errors import StoreFailed
from tests.loadtests.qualify.conftest import Clockwork, Qualify
from tests.loadtests.qualify.test_chain import GOOD
from tests.loadtests.server import METADATA

Make = Callable[..., Qualify]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nobody is qualified without a latency limit; give p99_ms in --limits, or --set p99_ms=50"),
        (["--set", "p99=50"], "no limit is called 'p99'; its unit is missing: write p99_ms"),
        (["--set", "p99_ms=50", "--url", "host:80"], "is no server's address"),
        (["--html", "/missing/page.html"], "--html /missing/page.html: there is no folder /missing"),
        (["--json", "/tmp"], "--json /tmp is no file that can be replaced"),
        (["--set", "p99_ms=50", "--token-file", "/missing"], "give --token-file a file with a token in it"),
        (["--limits", "/missing.yaml"], "cannot read the limits /missing.yaml"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], complaint: str) -> None:
    """Each has its sentence, before the server is asked for anything."""
    with pytest.raises(LoadTestError, match=complaint) as refused:
        command(["linear", "--to", "light", *arguments])
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--to", "ligth"), "linear has no variant 'ligth'; did you mean 'light'?"),
        (("--to", "base"), "'base' is the baseline of linear; name another variant with --to"),
        (("--inputs", "/missing.npz"), "No such file or directory: '/missing.npz'"),
    ],
    ids=["unknown", "baseline", "inputs"],
)
def test_who_cannot_be_weighed_is_refused(qualify: Make, arguments: tuple[str, ...], complaint: str) -> None:
    """Nothing has been sent by then."""
    mine = qualify(*GOOD)
    finished = mine.run(*arguments)
    assert finished.code == 2
    assert complaint in finished.err
    assert mine.endpoint.desk.told == []


def test_a_server_without_a_control_api_is_told(desk: Any) -> None:
    """Others speak the protocol too, and cannot qualify anybody."""
    url = desk({"/v2/models/digits": (200, METADATA)})
    arguments = ["digits", "--to", "int8", "--url", url, "--set", "p99_ms=50"]
    with subprocess.Popen(
        [sys.executable, "-m", "counterweight", "qualify", *arguments],
        cwd=Path(__file__).parents[3],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _, err = process.communicate(timeout=50)
    assert process.returncode == 2
    assert "/control/models/digits/bundles answered 404: unknown; only a server that was started by" in err


def test_a_record_that_the_server_does_not_take_is_an_error(qualify: Make) -> None:
    """The files are there all the same, and the table is printed; the message says what is missing."""
    mine = qualify(*GOOD)

    async def refuse(*_: object) -> None:
        raise StoreFailed("the disk is full")

    mine.endpoint.desk.qualify = refuse  # type: ignore[method-assign, assignment]
    finished = mine.run("--json", str(mine.folder / "found.json"), "--html", str(mine.folder / "found.html"))
    assert finished.code == 2
    assert "the record is not in the server's trail" in finished.err
    assert "the disk is full" in finished.err
    assert finished.out.startswith("QUALIFIED: ")
    assert json.loads((mine.folder / "found.json").read_text())["outcome"] == "QUALIFIED"
    assert "QUALIFIED" in (mine.folder / "found.html").read_text()


def test_a_server_that_dies_is_the_first_error(qualify: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the routes could not be put back is told besides."""
    mine = qualify()
    view = Clockwork.view

    async def look(desk: Clockwork, rollout: str) -> RolloutView:
        desk.error = StoreFailed("the store is gone")
        return await view(desk, rollout)

    monkeypatch.setattr(Clockwork, "view", look)
    finished = mine.run()
    assert finished.code == 2
    *_, put_back, error = finished.err.splitlines()
    assert put_back.startswith("the routes of linear could not be put back: ")
    assert error.startswith("counterweight: ")
    assert "the store is gone" in error


def test_help_needs_no_locust() -> None:
    """It patches the process, so it is imported only when a load is run."""
    script = (
        "import sys; from loadtests.qualify.cli import qualify\n"
        "try: qualify(['--help'])\n"
        "except SystemExit: sys.exit('locust' in sys.modules or 'gevent' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0
    assert "example: counterweight qualify digits" in ended.stdout
