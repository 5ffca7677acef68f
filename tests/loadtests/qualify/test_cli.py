import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtests.qualify.cli import qualify as command
from serve.base.errors import CounterweightError, StoreFailed
from tests.loadtests.fake_server import METADATA
from tests.loadtests.qualify.conftest import Qualify
from tests.loadtests.qualify.test_stages import GOOD

Make = Callable[..., Qualify]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "a latency limit; give p99_ms in --limits"),
        (["--set", "p99=50"], "no limit is called 'p99'; its unit is missing: write p99_ms"),
        (["--set", "p99_ms=50", "--url", "host:80"], "is not a server's address"),
        (["--html", "/missing/page.html"], "--html /missing/page.html: there is no folder /missing"),
        (["--json", "/tmp"], "--json /tmp is not a regular file"),
        (["--set", "p99_ms=50", "--token-file", "/missing"], "give --token-file a file"),
        (["--limits", "/missing.yaml"], "cannot read the limits /missing.yaml"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], complaint: str) -> None:
    """Invalid arguments are refused with exit code 2."""
    with pytest.raises(CounterweightError, match=complaint) as refused:
        command(["linear", "--to", "light", *arguments])
    assert refused.value.exit_code == 2


# Runs each command line in turn in one process, because the imports take seconds.
_DOOR = """
import contextlib, io, json, sys
from counterweight import main
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(["qualify", *arguments, "--set", "p99_ms=50"])
    print(json.dumps([code, said.getvalue()]))
"""


def test_what_the_server_cannot_do_is_refused_at_the_door(qualify: Make, desk: Any) -> None:
    """An unknown candidate, the baseline, a model with a running rollout, and a server without a control API
    are refused before a request is sent."""
    endpoint = qualify().endpoint
    endpoint.control.keeper.begin("theirs")
    foreign = desk({"/v2/models/digits": (200, METADATA)})
    lines = [["linear", "--url", endpoint.url, "--to", name] for name in ("ligth", "base", "light")]
    lines.append(["digits", "--url", foreign, "--to", "int8"])
    done = subprocess.run(
        [sys.executable, "-c", _DOOR, json.dumps(lines)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [code for code, _ in told] == [2, 2, 2, 2]
    unknown, baseline, busy, stranger = [said.removeprefix("counterweight: ") for _, said in told]
    assert unknown == "linear has no variant 'ligth'; did you mean 'light'?\n"
    assert baseline == "'base' is the baseline of linear; name another variant with --to\n"
    assert busy.startswith("rollout theirs of linear is in phase SHADOW; wait until it is over, or end it: ")
    assert "/control/models/digits/bundles answered 404: unknown; only a server that was started" in stranger
    assert endpoint.control.told == []


def test_a_record_that_the_server_does_not_take_is_an_error(qualify: Make) -> None:
    """If the server refuses the record, the exit code is 2, and the table and files are written."""
    mine = qualify(*GOOD)

    judge = mine.endpoint.control.before
    assert judge is not None

    def refuse(operation: str) -> None:
        judge(operation)
        if operation == "qualify":
            raise StoreFailed("the disk is full")

    mine.endpoint.control.before = refuse
    finished = mine.run("--json", str(mine.folder / "found.json"), "--html", str(mine.folder / "found.html"))
    assert finished.code == 2
    assert "the record could not be written to the server's trail" in finished.err
    assert "the disk is full" in finished.err
    assert finished.out.startswith("QUALIFIED: ")
    assert json.loads((mine.folder / "found.json").read_text())["outcome"] == "QUALIFIED"
    assert "QUALIFIED" in (mine.folder / "found.html").read_text()


def test_a_server_that_dies_is_the_first_error(qualify: Make) -> None:
    """The first error is that of the server; failing to restore the routes is reported before it."""
    mine = qualify()
    control = mine.endpoint.control

    def lose(operation: str) -> None:
        if operation == "view":
            control.error = StoreFailed("the store is gone")

    control.before = lose
    finished = mine.run()
    assert finished.code == 2
    # Python reports last the sockets that a process leaves open when it ends during its requests.
    left = ("Exception ignored in: <socket object", "ResourceWarning: unclosed <socket")
    said = [line for line in finished.err.splitlines() if not line.startswith(left)]
    *_, running, routes, error = said
    assert running.startswith("rollout linear-"), finished.err
    assert routes.startswith("the routes of linear could not be put back to ")
    assert error.startswith("counterweight: ")
    assert "the store is gone" in error


def test_help_needs_no_locust() -> None:
    """`--help` does not import locust or gevent, which patch the process."""
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
