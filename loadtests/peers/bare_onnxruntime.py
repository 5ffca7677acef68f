"""Runs onnxruntime alone in a loop, one row at a time, as the lower bound of the cost of serving.

python -m loadtests.peers.bare_onnxruntime MODEL.onnx INPUTS.npz ANSWERS.npz SECONDS

The arrays of INPUTS have one row per request. The program writes the answers, then repeats the runs for
SECONDS and prints the CPU time of one run in ms; with 0 seconds it only writes the answers."""

import sys
import time
from pathlib import Path

import numpy as np

from loadtests.peers.peer_session import PeerSession


def main(arguments: list[str]) -> int:
    """Run the program and return exit code 0."""
    model, inputs, answers, seconds = arguments
    session = PeerSession(Path(model))
    with np.load(inputs) as stored:
        rows = {name: stored[name] for name in session.inputs}
    count = len(next(iter(rows.values())))
    feeds = [{name: array[row : row + 1] for name, array in rows.items()} for row in range(count)]
    answered = [session.raw.run(None, feed) for feed in feeds]
    columns = [np.concatenate(arrays) for arrays in zip(*answered, strict=True)]
    np.savez(answers, **dict(zip(session.outputs, columns, strict=True)))
    if float(seconds):
        sys.stdout.write(f"{_cpu_ms(session, feeds, float(seconds)):.6f}\n")
    return 0


def _cpu_ms(session: PeerSession, feeds: list[dict[str, np.ndarray]], seconds: float) -> float:
    started_s, cpu_s, done = time.monotonic(), time.process_time(), 0
    while time.monotonic() - started_s < seconds:
        session.raw.run(None, feeds[done % len(feeds)])
        done += 1
    return (time.process_time() - cpu_s) * 1000 / done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
