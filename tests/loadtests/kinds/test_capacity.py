import subprocess
import sys
from pathlib import Path

from loadtests.load_verdict import CheckOutcome
from loadtests.report import LoadReport
from tests.loadtests.bounds import capacity_per_s
from tests.loadtests.known_server import MODEL, Behaviour, open_known

# The same search with shorter trials: two seconds show the capacity of a server without noise.
_COMMAND = """
import sys
from loadtests.judging import probe
from loadtests.judging import search
from loadtests.kinds import capacity
probe.LEAST_S = probe.SEARCH_S = 2
search.PAUSES_S = (1, 2, 4, 8)
search.CONFIRMATIONS = capacity.CONFIRMATIONS = 1
capacity._WARMUP_S = capacity._REST_S = 0.3
from counterweight import main
sys.exit(main(["loadtest", "capacity", *sys.argv[1:]]))
"""


def test_the_capacity_is_found(tmp_path: Path) -> None:
    """The search finds at most the 200/s of the known server; a busy machine may find less."""
    path = tmp_path / "report.json"
    with open_known(only=Behaviour(per_s=200)) as url:
        options = ("--rate", "190", "--duration", "8", "--arrivals", "constant", "--set", "p99_ms=500")
        finished = subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                _COMMAND,
                url,
                "--model",
                MODEL,
                *options,
                "--json",
                str(path),
            ],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert finished.returncode in {0, 3}, finished.stdout + finished.stderr
    report = LoadReport.model_validate_json(path.read_text())
    if finished.returncode == 3:
        # If the machine was too busy to send on time, the outcome is INVALID and the report says so.
        assert report.verdict.outcome is CheckOutcome.INVALID
        return
    capacity = report.capacities["only"]
    bounds = capacity_per_s(200)
    assert capacity.rate_per_s is not None
    assert capacity.rate_per_s <= bounds.high
    # On a busy machine the capacity may be lower, with another boundary.
    assert capacity.boundary == "cliff" or capacity.rate_per_s < bounds.low
