"""The limits and sizes of a serving process, in one place."""

from typing import Annotated

from pydantic import Field

from serve.base.record import Record

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]


class Settings(Record):
    """The settings of one gateway. The defaults fit small models on shared cores."""

    # A larger request body, also after decompression, is refused with 413 before it is read completely.
    max_body_bytes: Count = 16 * 2**20
    # A request with more input elements is refused before arrays are created.
    max_elements: Count = 4 * 2**20
    # A request with longer headers is refused with 431.
    max_header_bytes: Count = 16 * 2**10
    # A connection is closed if sending the headers and body of one request takes longer.
    receive_timeout_s: Seconds = 30
    # The most rows in one run of a model; fewer if the bundle's measurements show no gain from more.
    max_batch_rows: Count = 64
    # A request with more rows is split into runs of this size, to bound memory and to let other requests in.
    max_run_rows: Count = 512
    # While another run is in progress, a batch that is not full waits this long for more requests.
    max_wait_s: Seconds = 0.002
    # The number of simultaneous runs of a variant in a gateway; in placement `apart`, one per replica.
    max_runs: Count = 2
    # A request is refused with 503 if this many rows are waiting.
    max_queue_rows: Count = 1024
    # A request is also refused if it would wait longer than this, unless it fits into the next run.
    max_queue_wait_s: Seconds = 1.0
    # The most rows waiting for a shadow; a copy that does not fit is dropped.
    max_shadow_rows: Count = 256
    # A request that is not answered within this time gets a 504; its client may set a shorter time.
    request_timeout_s: Seconds = 30
    # A variant whose run takes longer is considered hung, and its requests stop waiting for it.
    run_timeout_s: Seconds = 10
    # ONNX Runtime's threads per session; the same for every variant, so that they can be compared.
    threads: Count = 1
    # A replica (placement `apart`) whose resident memory grows by more than this is replaced.
    max_growth_bytes: Count = 2 * 2**30
    # The rate limit of changes over the control API in each gateway; bursts of twice as many are allowed.
    control_writes_per_s: Rate = 10
    # The same for feedback, where one request has up to 1,000 outcomes.
    feedback_per_s: Rate = 100
