"""Row sizes: what one row of a model's inputs takes on the wire, as bytes and as JSON."""

import math
from dataclasses import dataclass

from serve.base.tensor import Signature
from serve.oip.compression import fewer_rows

# What an element takes in JSON, its comma included: a fraction as most clients write it, a small number.
_JSON_BYTES = {"f": 20, "i": 4, "u": 4, "b": 6}


@dataclass(frozen=True, slots=True)
class RowSize:
    """One row of all inputs."""

    # Behind the JSON, by the binary extension.
    binary_bytes: int
    # Within the JSON, about.
    json_bytes: int


def size_of_row(forms: tuple[Signature, ...]) -> RowSize | None:
    """Of the form that the metadata tells; None: it varies."""
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
    """What to do about a body that is over the limit, of JSON alone or with bytes behind it."""
    row = size_of_row(forms)
    if binary and (row is None or row.binary_bytes <= limit_bytes):
        return fewer_rows()
    if row is None:
        return "send fewer rows in a request, or the tensors as bytes behind the JSON (binary_data_size)"
    if row.binary_bytes > limit_bytes:
        return (
            f"one row of this model takes {row.binary_bytes} bytes even as bytes behind the JSON; start the "
            f"server with a higher max_body_bytes"
        )
    return (
        f"one row of this model takes about {row.json_bytes} bytes as JSON and {row.binary_bytes} as bytes "
        "behind the JSON: send it so (the binary extension, parameter binary_data_size), or send fewer rows"
    )
