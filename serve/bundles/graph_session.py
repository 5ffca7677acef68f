"""Opens a graph in onnxruntime in the one way that is safe for every file."""

from pathlib import Path
from typing import TypeAlias

import onnxruntime

Level: TypeAlias = onnxruntime.GraphOptimizationLevel
# This optimizer of onnxruntime (1.31) crashes the process if a Cast stands between a MatMul and a Transpose
# that moves the batch; for 16-bit weights, onnxruntime inserts such a Cast itself. Without the optimizer,
# naive attention takes up to 4 % longer, and MiniLM and mixers as long as with it.
_CRASHES = "MatmulTransposeFusion"


def open_graph(
    graph: bytes | Path,
    *,
    threads: int = 1,
    level: Level = Level.ORT_ENABLE_ALL,
    written_to: Path | None = None,
    profiled_to: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Open the graph on the CPU.

    Args:
        graph: the file's bytes, or its path if it has weights in files beside it
        threads: threads for one operator; 0: one for each core
        level: how far onnxruntime optimizes the graph
        written_to: where onnxruntime writes the optimized graph
        profiled_to: start of the path of a profile with all shapes, written when the profiling is ended

    Raises a dozen unrelated classes of onnxruntime's if it refuses the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning idle threads would take the shared cores from the other variants.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("optimization.disable_specified_optimizers", _CRASHES)
    options.graph_optimization_level = level
    # Errors are raised, so onnxruntime's own log lines would repeat them.
    options.log_severity_level = 4
    if written_to is not None:
        options.optimized_model_filepath = str(written_to)
    if profiled_to is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profiled_to)
        # A weight that was packed when the graph was loaded is missing from the profile.
        options.add_session_config_entry("session.disable_prepacking", "1")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
