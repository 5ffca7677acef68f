"""Operation: one thing that can be asked of the control API."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from serve.base.record import Record

A = TypeVar("A")

# By status: of what only looks, and of what changes something.
LOOK_ERRORS = ("401", "403", "404", "503")
CHANGE_ERRORS = ("400", "401", "403", "404", "413", "415", "429", "503")


@dataclass(frozen=True, kw_only=True)
class Operation(Generic[A]):
    """What is said once of an operation. Its route, its documentation, the call to the keeper and the call
    from the command line are made from it.

    The method `name` of `Commands` answers it, or that of `GatewayCommands` where there is one. Its arguments
    are, in this order: the names in the path, `fixed`, the number in the query parameter `after`, the body as
    a record, and the name of whoever asks where that takes the role `operate`."""

    name: str
    method: Literal["GET", "POST", "PUT"] = "GET"
    path: str
    # Who may ask: `view` may look at everything, `operate` may change it, too.
    role: Literal["view", "operate"] = "view"
    # An argument that is the same in every call.
    fixed: str | None = None
    # Whether the path takes the query parameter `after`.
    after: bool = False
    body: type[Record] | None = None
    # Whether no body is an empty record.
    empty: bool = False
    # Whether a body that calls itself a form is taken: `curl -d` sends it that way.
    curl: bool = False
    # The setting that limits how often a second it may be asked, where it takes the role `operate`.
    limited_by: Literal["control_writes_per_s", "feedback_per_s"] = "control_writes_per_s"
    # A record, records, or JSON as it is.
    answer: type[A]
    # The key of the records in the answer's JSON, where there are several.
    key: str | None = None
    status: Literal[200, 201] = 200
    # The words of the documentation.
    summary: str
    description: str = ""
    answered: str
    errors: tuple[str, ...] = LOOK_ERRORS
    # The name of the answer's schema; empty: the record's name.
    schema: str = ""
    # Bodies, by what they show, and the answer to one of them.
    examples: Mapping[str, Any] = field(default_factory=dict)
    example: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters in the path, in order."""
        return tuple(re.findall(r"{(\w+)}", self.path))
