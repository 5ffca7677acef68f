"""Settings: the limits and sizes that a serving process works with, in one place."""

from typing import Annotated

from pydantic import Field

from serve.record import Record


class Settings(Record):
    """How one gateway serves. The defaults fit small models on shared cores."""

    # A larger request body is refused with 413 before it is read to its end.
    max_body_bytes: Annotated[int, Field(ge=1)] = 16 * 2**20
    # At most this many rows share one run of a model.
    max_batch_rows: Annotated[int, Field(ge=1)] = 32
    # ONNX Runtime's threads per session, the same for every variant so that they compare.
    threads: Annotated[int, Field(ge=1)] = 1
