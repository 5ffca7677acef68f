"""The size of one row of a model's inputs in a request, as bytes and as JSON."""

import math
from dataclasses import dataclass

from serve.base.tensor import Signature
from serve.oip.compression import fewer_rows

# Bytes per element in JSON with its comma: a float as most clients write it, or a small integer.
_JSON_BYTES = {"f": 20, "i": 4, "u": 4, "b": 6}


@dataclass(frozen=True, slots=True)
class RowSize:
    """The size of one row of all inputs."""

    # As bytes after the JSON, with the binary extension.
    binary_bytes: int
    # As JSON, approximately.
    json_bytes: int


def size_of_row(forms: tuple[Signature, ...]) -> RowSize | None:
    """The row size for the first signature; None if it varies."""
    form = forms[0]
    binary = text = 0
    for spec in form.inputs:
        dims = spec.shape[1:] if form.batches else spec.shape
        if spec.datatype == "BYTES" or any(isinstance(dim, str) for dim in dims):
            return None
        elements = math.prod(dim for dim in dims if isinstance(dim, int))
        binary += elements * spec.dtype.itemsize
        text += elements * _JSON_BYTES[spec.dtype.kind]
    return RowSize(binary, text)


def advise(forms: tuple[Signature, ...], limit_bytes: int, *, binary: bool) -> str:
    """Advice for a body over the limit; `binary` if it has bytes after the JSON."""
    row = size_of_row(forms)
    if binary and (row is None or row.binary_bytes <= limit_bytes):
        return fewer_rows()
    if row is None:
        return "send fewer rows in a request, or the tensors as bytes after the JSON (binary_data_size)"
    if row.binary_bytes > limit_bytes:
        return (
            f"one row of this model takes {row.binary_bytes} bytes even as bytes after the JSON; start the "
            f"server with a higher max_body_bytes"
        )
    return (
        f"one row of this model takes about {row.json_bytes} bytes as JSON and {row.binary_bytes} as bytes "
        "after the JSON: use the binary extension (parameter binary_data_size), or send fewer rows"
    )
