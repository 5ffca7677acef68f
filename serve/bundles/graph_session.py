"""Opens a graph in onnxruntime in the one way that is safe for every file."""

from pathlib import Path
from typing import TypeAlias

import onnxruntime

from serve.bundles.bundle import WEIGHTS
from serve.bundles.onnx_graph import Graph, SplitGraph

Level: TypeAlias = onnxruntime.GraphOptimizationLevel
# This optimizer of onnxruntime (1.31) crashes the process if a Cast stands between a MatMul and a Transpose
# that moves the batch; for 16-bit weights, onnxruntime inserts such a Cast itself. Without the optimizer,
# naive attention takes up to 4 % longer, and MiniLM and mixers as long as with it.
_CRASHES = "MatmulTransposeFusion"
# Where onnxruntime finds the weights beside a graph, and the file to which it writes them.
_FOLDER_OF_WEIGHTS = "session.model_external_initializers_file_folder_path"
_WRITTEN_WEIGHTS = "session.optimized_model_external_initializers_file_name"


def open_graph(
    graph: Graph | Path,
    *,
    threads: int = 1,
    level: Level = Level.ORT_ENABLE_ALL,
    written_to: Path | None = None,
    profiled_to: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Open the graph on the CPU.

    Args:
        graph: the graph, or the path of its file
        threads: threads for one operator; 0: one for each core
        level: how far onnxruntime optimizes the graph
        written_to: where onnxruntime writes the optimized graph; large weights of a split one beside it
        profiled_to: start of the path of a profile, written when the profiling is ended; it has all shapes if
            the graph is not optimized

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
        if isinstance(graph, SplitGraph):
            options.add_session_config_entry(_WRITTEN_WEIGHTS, WEIGHTS)
    if profiled_to is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profiled_to)
        if level is Level.ORT_DISABLE_ALL:
            # A weight that was packed when the graph was loaded is missing from the shapes in the profile.
            options.add_session_config_entry("session.disable_prepacking", "1")
    if isinstance(graph, SplitGraph):
        options.add_session_config_entry(_FOLDER_OF_WEIGHTS, str(graph.weights.path.parent))
    # A temporary weights file lasts as long as `graph`, which must not be assigned again here.
    source = graph.content if isinstance(graph, SplitGraph) else graph
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
