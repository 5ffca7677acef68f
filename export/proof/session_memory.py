"""Measures the memory that a loaded session adds to a process. Runs this module in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import psutil

from export.errors import ExportFailed
from serve.base.tensor import Signature
from serve.bundles.onnx_graph import Graph, SplitGraph, WeightsFile
from serve.engine.session import Session

_ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 600


def measure_session_bytes(graph: Graph, session: Session) -> int:
    """Return the resident memory that loading and warming up a Session adds to a new process, including
    onnxruntime itself.

    Raises ExportFailed if the graph cannot be loaded there."""
    content = graph.content if isinstance(graph, SplitGraph) else graph
    weights = str(graph.weights.path) if isinstance(graph, SplitGraph) else None
    facts = json.dumps([session.signature.model_dump(mode="json"), session.sizes, weights])
    child = subprocess.run(
        [sys.executable, "-m", "export.proof.session_memory"],
        cwd=_ROOT,
        input=facts.encode() + b"\n" + content,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if child.returncode:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ExportFailed(f"a fresh process cannot load the graph: {last or f'exit {child.returncode}'}")
    return int(child.stdout)


def main() -> None:
    """Read a signature with sizes, and a graph with the path of its weights file, from standard input, and
    print the bytes."""
    signature, sizes, weights = json.loads(sys.stdin.buffer.readline())
    content = sys.stdin.buffer.read()
    graph: Graph = content
    if weights is not None:
        graph = SplitGraph(content=content, weights=WeightsFile(Path(weights)))
    process = psutil.Process()
    before = process.memory_info().rss
    session = Session(graph, Signature.model_validate(signature), "the graph", sizes=sizes)
    sys.stdout.write(f"{max(0, process.memory_info().rss - before)}\n")
    del session


if __name__ == "__main__":
    main()
