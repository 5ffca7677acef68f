import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.cli import loadtest as command
from loadtests.errors import LoadTestError


def test_right_answers_end_with_0(serve: Any, loadtest: Any) -> None:
    """The table has a row for each variant; standard error, which is no terminal here, stays empty."""
    finished = loadtest(serve().url, "--model", "digits", "--duration", "0.3")
    assert finished.code == 0
    assert [line.split()[0] for line in finished.out.splitlines()[3:5]] == ["fp32", "int8"]
    assert finished.err == ""


def test_refused_bad_input_ends_with_2(serve: Any, loadtest: Any) -> None:
    """An unknown pin is told together with what was probably meant, before anything is sent."""
    server = serve()
    finished = loadtest(server.url, "--model", "digits", "--pin", "fp23")
    assert finished.code == 2
    assert "did you mean 'fp32'?" in finished.err
    assert server.bodies == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["host:80", "--model", "digits"], "is no server's address"),
        (["http://host", "--model", "digits", "--rate", "0"], "rate_per_s: "),
        (["http://host", "--model", "digits", "--duration", "inf"], "duration_s: "),
        (["http://host", "--model", "digits", "--records", "/missing/x"], "cannot write the records"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], complaint: str) -> None:
    """Each has its sentence."""
    with pytest.raises(LoadTestError, match=complaint) as refused:
        command(["run", *arguments])
    assert refused.value.exit_code == 2


def test_records_hold_every_request(serve: Any, loadtest: Any, tmp_path: Path) -> None:
    """The raw records and the report tell the same story."""
    path = tmp_path / "records.jsonl"
    arguments = ["--model", "digits", "--duration", "0.3", "--pin", "fp32,int8", "--json"]
    report = loadtest(serve().url, *arguments, "--records", str(path)).report
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records) == report["requests"] > 0
    assert all(record["variant"] == record["pinned"] for record in records)
    assert all(record["intended_s"] <= record["sent_s"] <= record["done_s"] for record in records)
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


def test_real_rows_are_sent(serve: Any, loadtest: Any, tmp_path: Path) -> None:
    """With a file, every input is one of its rows."""
    rows = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    np.savez(tmp_path / "rows.npz", image=rows)
    server = serve()
    loadtest(server.url, "--model", "digits", "--duration", "0.3", "--inputs", str(tmp_path / "rows.npz"))
    sent = {tuple(body["inputs"][0]["data"]) for body in server.bodies}
    assert sent <= {tuple(row.ravel().tolist()) for row in rows}
    assert sent


def test_ctrl_c_reports_what_was_measured(serve: Any, start_loadtest: Any) -> None:
    """The run ends at once with 130, and its report says that it is not complete."""
    server = serve()
    with start_loadtest(server.url, "--model", "digits", "--duration", "60", "--json") as process:
        while len(server.bodies) < 20 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    report = json.loads(out)
    assert report["complete"] is False
    assert report["errors"] == 0
    assert 20 <= report["requests"] < 6000


def test_help_needs_no_locust() -> None:
    """Locust patches the process, so it is imported only when a load is run."""
    script = (
        "import sys; from loadtests.cli import loadtest\n"
        "try: loadtest(['run', '--help'])\n"
        "except SystemExit: sys.exit('locust' in sys.modules or 'gevent' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0
    assert "example: counterweight loadtest run" in ended.stdout
