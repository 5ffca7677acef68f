"""Control: the keeper, as those see it who speak to people."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from serve.base.record import Record
from serve.bundles.figures import Figures
from serve.control.operation_row import Operation
from serve.counting.usage import Usage

A = TypeVar("A")


class BundleView(Record):
    """A bundle in the repository."""

    digest: str
    # Of the version that is served; None: none is.
    loaded: str | None
    # Why it gets no traffic; None: it may.
    rejected: str | None
    figures: Figures
    # Whether nobody has measured it on held-out rows.
    unproven: bool = False


class Bundles(Record):
    """All of a model's, by variant."""

    baseline: str
    bundles: Mapping[str, BundleView]


class Control(Protocol):
    """The keeper. Everything raises StoreFailed, and what changes something raises LostLease."""

    async def ask(self, operation: Operation[A], *arguments: Any) -> A:
        """The answer to an operation. Raises what the method of `Commands` does that answers it."""
        ...

    async def usage(self) -> Usage:
        """What the server's processes have cost so far, at most a quarter of a second old."""
        ...
