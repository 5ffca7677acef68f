"""The interface of the keeper for the processes that talk to people."""

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
    # The digest of the served version; None: not served.
    loaded: str | None
    # Why it gets no traffic; None: it may get traffic.
    rejected: str | None
    figures: Figures
    # Whether it has not been measured on real held-out rows.
    unproven: bool = False


class Bundles(Record):
    """All bundles of a model, by variant."""

    baseline: str
    bundles: Mapping[str, BundleView]


class Control(Protocol):
    """The keeper. All methods raise StoreFailed, and operations that change something raise LostLease."""

    async def ask(self, operation: Operation[A], *arguments: Any) -> A:
        """Run an operation. Raises the errors of the `Commands` method that answers it."""
        ...

    async def usage(self) -> Usage:
        """The usage of the server's processes so far, at most a quarter of a second old."""
        ...
