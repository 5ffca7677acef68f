"""Settings: the limits and sizes that a serving process works with, in one place."""

from typing import Annotated

from pydantic import Field

from serve.base.record import Record

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]


class Settings(Record):
    """How one gateway serves. The defaults fit small models on shared cores."""

    # A larger request body is refused with 413 before it is read to its end; so is one that inflates to more.
    max_body_bytes: Count = 16 * 2**20
    # More elements in the inputs of one request are refused before they become arrays.
    max_elements: Count = 4 * 2**20
    # A request with longer headers is refused with 431.
    max_header_bytes: Count = 16 * 2**10
    # A connection that takes longer to send one request's headers and body is closed.
    receive_timeout_s: Seconds = 30
    # At most this many rows share one run of a model, fewer where its bundle says that more no longer pay.
    max_batch_rows: Count = 64
    # A request with more rows is run in pieces of so many: others come in between, and memory is bounded.
    max_run_rows: Count = 512
    # While another run is under way, a batch that is not full waits for company at most so long.
    max_wait_s: Seconds = 0.002
    # So many runs of a variant at once in a gateway; apart, it is one for each replica.
    max_runs: Count = 2
    # A request that finds so many rows waiting is refused with 503.
    max_queue_rows: Count = 1024
    # So is one that would wait longer than this, going by how long runs take, unless it fits into the next.
    max_queue_wait_s: Seconds = 1.0
    # A shadow has at most so many rows waiting; a copy that does not fit is dropped.
    max_shadow_rows: Count = 256
    # A request is answered within this time, or with 504; its client may allow less.
    request_timeout_s: Seconds = 30
    # A variant whose run takes longer counts as hanging: nobody waits for it any more.
    run_timeout_s: Seconds = 10
    # ONNX Runtime's threads per session, the same for every variant so that they compare.
    threads: Count = 1
    # A variant's replica (apart) that grows by more resident memory than this is replaced.
    max_growth_bytes: Count = 2 * 2**30
    # More changes over the control API are refused with 429, in each gateway; twice as many may come at once.
    control_writes_per_s: Rate = 10
    # The same for feedback, which carries up to 1,000 outcomes at a time.
    feedback_per_s: Rate = 100
