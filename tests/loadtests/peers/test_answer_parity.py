import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtests.errors import LoadTestError
from loadtests.peers.answer_parity import Onnxruntime, check_answers
from loadtests.peers.body_form import ROW
from loadtests.peers.peer_servers import Server


def test_right_answers_pass(peer: Server, truth: Onnxruntime, tmp_path: Path) -> None:
    """Answers over HTTP that equal onnxruntime's pass the check."""
    with peer.process(tmp_path) as process:
        process.wait_until_ready()
        check_answers(peer, process.url, truth, "fp32")


def test_a_wrong_answer_is_an_error(peer: Server, truth: Onnxruntime, tmp_path: Path) -> None:
    """An element that is off by 0.002, or another row's answer, fails the check."""
    off, swapped = copy.deepcopy(truth), copy.deepcopy(truth)
    off.answers["fp32"]["y"][5, 0] += 0.002
    swapped.answers["fp32"]["y"] = np.roll(truth.answers["fp32"]["y"], 1, axis=0)
    with peer.process(tmp_path) as process:
        process.wait_until_ready()
        for expected in (off, swapped):
            with pytest.raises(LoadTestError, match=r"fastapi answers wrongly: row . of variant fp32"):
                check_answers(peer, process.url, expected, "fp32")


@pytest.mark.parametrize(
    ("server", "said"),
    [({"form": ROW}, "fastapi answered 422"), ({"path": "/none"}, "fastapi answered 404")],
    ids=["another form", "another path"],
)
def test_a_refusal_is_quoted(
    server: dict[str, object], said: str, peer: Server, truth: Onnxruntime, tmp_path: Path
) -> None:
    """The error quotes the status and the message of the server."""
    other = replace(peer, **server)  # type: ignore[arg-type]
    with other.process(tmp_path) as process:
        process.wait_until_ready()
        with pytest.raises(LoadTestError, match=said):
            check_answers(other, process.url, truth, "fp32")


def test_the_floor_is_the_cpu_time_of_one_run(truth: Onnxruntime) -> None:
    """The CPU time of a run of a tiny graph is less than a millisecond."""
    assert 0 < truth.cpu_ms(0.1) < 1
