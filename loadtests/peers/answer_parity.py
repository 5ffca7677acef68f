"""Checks that every server gives the same answers as onnxruntime, before its speed is measured."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.peers.body_form import Arrays
from loadtests.peers.peer_servers import Server
from loadtests.peers.workload import Workload, draw_rows

_ROOT = Path(__file__).parents[2]
_ROWS = 24
# Batching changes the order of additions.
_TOLERANCE = 1e-3
_ASKING = 8
_TIMEOUT_S = 60


class Onnxruntime:
    """onnxruntime alone in its own process: the reference for the answers and the lower bound of the cost."""

    def __init__(self, repository: Path, workload: Workload, scratch: Path) -> None:
        self.rows = draw_rows(workload, _ROWS)
        self._folder = repository / workload.model
        self._baseline = workload.baseline
        self._inputs = scratch / "inputs.npz"
        self._answers = scratch / "answers.npz"
        stacked = {name: np.concatenate([row[name] for row in self.rows]) for name in self.rows[0]}
        np.savez(self._inputs, **stacked)  # type: ignore[arg-type]
        # Variant -> output -> one answer per row.
        self.answers: dict[str, dict[str, NDArray[np.float64]]] = {}
        for variant in workload.weights:
            self._run(variant, 0)
            with np.load(self._answers) as stored:
                self.answers[variant] = {name: stored[name] for name in stored.files}

    def cpu_ms(self, seconds: float) -> float:
        """Return the CPU time of one run of the baseline on one row. Raises LoadTestError."""
        return float(self._run(self._baseline, seconds))

    def _run(self, variant: str, seconds: float) -> str:
        files = [str(path) for path in (self._folder / variant / "model.onnx", self._inputs, self._answers)]
        ended = subprocess.run(
            [sys.executable, "-m", "loadtests.peers.bare_onnxruntime", *files, str(seconds)],
            capture_output=True,
            text=True,
            check=False,
            cwd=_ROOT,
        )
        if ended.returncode:
            raise LoadTestError(f"onnxruntime on {files[0]} failed: {ended.stderr[-2000:]}")
        return ended.stdout


def check_answers(server: Server, url: str, truth: Onnxruntime, baseline: str) -> None:
    """Request every row, several at a time, so that batching servers are tested, too.

    Raises LoadTestError for an answer that differs from onnxruntime's."""
    with ThreadPoolExecutor(_ASKING) as pool:
        bodies = list(pool.map(lambda row: _ask(server, url, row), truth.rows))
    for number, body in enumerate(bodies):
        try:
            answer = server.form.decode(body)
            right = truth.answers[answer.variant or baseline]
            differences = {name: _differ(answer.outputs[name], right[name][number]) for name in right}
        except (LookupError, TypeError, ValueError) as error:
            raise LoadTestError(
                f"{server.name} answered {body[:200]!r}, which is not a valid answer: {error!r}"
            ) from None
        if (worst := max(differences.values())) > _TOLERANCE:
            raise LoadTestError(
                f"{server.name} answers wrongly: row {number} of variant {answer.variant or baseline} "
                f"differs from onnxruntime's by {worst:.3g}, at most {_TOLERANCE} is rounding"
            )


def _differ(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    if actual.shape != (1, *expected.shape):
        raise ValueError(f"shape {list(actual.shape)} instead of {[1, *expected.shape]}")
    difference = float(np.abs(actual[0] - expected).max())
    # NaN is always wrong.
    return difference if np.isfinite(difference) else np.inf


def _ask(server: Server, url: str, row: Arrays) -> bytes:
    request = Request(f"{url}{server.path}", server.form.encode(row), {"Content-Type": "application/json"})  # noqa: S310 - our own URL
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=_TIMEOUT_S) as answer:
            content: bytes = answer.read()
            return content
    except HTTPError as error:
        with error:
            raise LoadTestError(f"{server.name} answered {error.code}: {error.read()[:300]!r}") from None
    except OSError as error:
        raise LoadTestError(f"{server.name} does not answer: {error}") from None
