"""Read the sizes of the free dimensions of a graph from rows."""

from export.data.datasets import Split
from export.data.inputs import TOKENS
from export.onnx.probe_rows import BATCH
from serve.base.tensor import Signature

# Enough tokens for a warm-up; the longest text would take seconds.
_FEW_TOKENS = 32


def read_free_sizes(signature: Signature, rows: Split) -> dict[str, int]:
    """Return the size of each free dimension of the inputs in a row of the commonest shape, except the batch;
    few for tokens."""
    row = rows.take_like(1)
    return {
        dim: min(size, _FEW_TOKENS) if dim == TOKENS else size
        for spec in signature.inputs
        for dim, size in zip(spec.shape, row[spec.name].shape, strict=True)
        if isinstance(dim, str) and dim != BATCH
    }
