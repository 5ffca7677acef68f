import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from loadtests.cli import loadtest
from loadtests.report import LoadReport
from loadtests.sending.client import Client
from serve.base.errors import CounterweightError
from tests.loadtests.known_server import MODEL, Behaviour, open_known
from tests.loadtests.loadtest_process import ROOT, Finished, run_loadtest, start_loadtest
from tests.loadtests.reports import make_failed, make_invalid, make_report

_FILES = ("json", "html", "markdown", "junit")
# The speed of the machine decides nothing: neither it nor the sender exceeds such a limit, a profile needs no
# steady state, and the few requests at its end cannot pile up.
_LOAD = ("--warmup", "0", "--set", "p99_ms=100000", "--profile")
# The long profile has enough answers for a p99.
_LONG, _SHORT = "0:300,4.2:300,4.2:10,6:10", "0:100,0.5:100,0.5:1,1:1"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with a good variant and one that fails."""
    with open_known(good=Behaviour(), poor=Behaviour(error_share=1)) as url:
        yield url


def _files(folder: Path) -> list[str]:
    return [word for name in _FILES for word in (f"--{name}", str(folder / name))]


def _run(url: str, variant: str, *more: str) -> Finished:
    return run_loadtest("run", url, "--model", MODEL, "--pin", variant, *_LOAD, *more)


@pytest.fixture(scope="module")
def passed(url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """What a run left that found nothing wrong, and the folder of its files."""
    folder = tmp_path_factory.mktemp("passed")
    return _run(url, "good", _LONG, *_files(folder)), folder


def test_a_pass_ends_with_0(passed: tuple[Finished, Path]) -> None:
    """A pass exits with 0 and prints the verdict first; standard error is empty."""
    finished, _ = passed
    assert finished.code == 0, finished.out
    assert finished.out.startswith("PASS: ")
    assert finished.err == ""


def test_a_fail_ends_with_1(url: str) -> None:
    """A variant that always fails exits with 1."""
    finished = _run(url, "poor", _SHORT)
    assert finished.code == 1, finished.out
    assert finished.out.startswith("FAIL: errors of poor")


def test_what_proves_nothing_ends_with_3(url: str) -> None:
    """A run of 0.2 s is INVALID and exits with 3."""
    finished = run_loadtest("run", url, "--model", MODEL, "--duration", "0.2", "--warmup", "0")
    assert finished.code == 3, finished.out
    assert finished.out.startswith("INVALID: ")


def test_each_file_is_written(passed: tuple[Finished, Path]) -> None:
    """Each output file is written, and no other file."""
    _, folder = passed
    assert sorted(path.name for path in folder.iterdir()) == sorted(_FILES)
    report = LoadReport.model_validate_json((folder / "json").read_text())
    assert report.kind == "run"
    assert report.complete
    assert f"{report.requests:,}" in (folder / "html").read_text()
    assert "PASS" in (folder / "markdown").read_text()
    assert len(ET.parse(folder / "junit").findall(".//testcase")) == len(report.checks)


def test_the_report_says_how_it_was_made(passed: tuple[Finished, Path]) -> None:
    """The report contains the command that repeats the test."""
    _, folder = passed
    command = json.loads((folder / "json").read_text())["command"]
    assert command[:3] == ["counterweight", "loadtest", "run"]
    assert {"--set", "p99_ms=100000"} <= set(command)


def test_a_report_renders_again(passed: tuple[Finished, Path], tmp_path: Path, capsys: Any) -> None:
    """The JSON report gives the same table and the same files again."""
    finished, folder = passed
    more = [word for name in _FILES[1:] for word in (f"--{name}", str(tmp_path / name))]
    assert loadtest(["report", str(folder / "json"), *more]) == 0
    assert capsys.readouterr().out == finished.out
    for name in _FILES[1:]:
        assert (tmp_path / name).read_text() == (folder / name).read_text()


@pytest.mark.parametrize(
    ("report", "code"),
    [(make_report(), 0), (make_failed(), 1), (make_invalid(complete=True), 3), (make_invalid(), 130)],
    ids=["passed", "failed", "invalid", "ended early"],
)
def test_a_report_ends_as_its_run_did(report: LoadReport, code: int, tmp_path: Path) -> None:
    """`report` exits with the code of the run."""
    path = tmp_path / "report.json"
    path.write_text(report.model_dump_json())
    assert loadtest(["report", str(path)]) == code


_MODEL = ("--model", MODEL)


@pytest.mark.parametrize(
    ("command", "arguments", "complaint"),
    [
        ("run", ["--pin", "god"], "cannot pin 'god': .*did you mean 'good'"),
        ("compare", ["good", "good"], "'good' is pinned twice"),
        ("run", ["--rate", "0"], "the profile sends nothing"),
        ("run", ["--duration", "inf"], "profile.*got: inf"),
        ("run", ["--profile", "0:10,60"], "--profile: '60' is not a point"),
        ("run", ["--profile", "5:10,60:10"], "begin with 0"),
        ("run", ["--set", "p99=50"], "its unit is missing: write p99_ms"),
        ("run", ["--json", "/missing/x"], "--json /missing/x: there is no folder /missing"),
        ("soak", ["--records", "/missing/x"], "--records /missing/x: there is no folder /missing"),
        ("run", ["--html", "x", "--junit", "x"], "--html and --junit both name x"),
        ("capacity", [], "a latency limit; give p99_ms with --set p99_ms=50"),
        ("run", ["--inputs", "/missing.npz"], "/missing.npz"),
        ("run", ["--token-file", "/missing"], "/missing: .*--token-file"),
    ],
)
def test_bad_input_is_refused_at_the_door(
    url: str, command: str, arguments: list[str], complaint: str
) -> None:
    """Invalid input exits with 2 before a request is sent."""
    with pytest.raises(CounterweightError, match=complaint) as refused:
        loadtest([command, url, *_MODEL, *arguments])
    assert refused.value.exit_code == 2
    assert "locust" not in sys.modules


def test_a_refusal_is_printed_and_ends_with_2() -> None:
    """A refusal exits with 2 and prints one line on standard error."""
    finished = run_loadtest("run", "host:80", "--model", MODEL)
    assert finished.code == 2
    assert "'host:80' is not a server's address" in finished.err
    assert len(finished.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "options", "number"),
    [
        ("run", ["--duration", "60"], signal.SIGINT),
        ("soak", ["--duration", "60"], signal.SIGTERM),
        ("run", ["--duration", "60"], signal.SIGHUP),
        ("capacity", ["--set", "p99_ms=50", "--rate", "100"], signal.SIGTERM),
    ],
)
def test_who_ends_it_early_gets_what_was_measured(
    tmp_path: Path, command: str, options: list[str], number: signal.Signals
) -> None:
    """A signal ends the run with 130 and writes each file with an incomplete report."""
    words = (*_MODEL, *options, *_files(tmp_path))
    with open_known(only=Behaviour()) as url, start_loadtest(command, url, *words) as process:
        _await_requests(url, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "(ended early)" in out
    report = LoadReport.model_validate_json((tmp_path / "json").read_text())
    assert report.kind == command
    assert not report.complete
    assert report.requests > 0
    assert report.notes == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(_FILES)


def _await_requests(url: str, process: "subprocess.Popen[str]") -> None:
    """Return when 300 requests were taken, which the warm-up does not have."""
    while process.poll() is None:
        lines = Client(url=url).text("/metrics").splitlines()
        counted = next(line for line in lines if line.startswith("counterweight_requests_total"))
        if float(counted.split()[-1]) >= 300:
            return
        time.sleep(0.05)


def test_help_needs_no_locust() -> None:
    """Locust patches the process, so it is imported only when a load is run."""
    script = (
        "import sys; from loadtests.cli import loadtest\n"
        "try: loadtest(['run', '--help'])\n"
        "except SystemExit: sys.exit('locust' in sys.modules or 'gevent' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert "example: counterweight loadtest run" in ended.stdout
