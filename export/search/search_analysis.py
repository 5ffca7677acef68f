"""What was found out about a model before its search."""

from export.search.plan import Plans
from serve.base.record import Record


class Analysis(Record):
    """The plans that can pay, and a sentence for each finding."""

    # None: nothing can pay.
    plans: Plans | None
    findings: tuple[str, ...]
    # Of the search split.
    search_rows: int
    # Of everything but the steps that determines a trial's result.
    origin: str
