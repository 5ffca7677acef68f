"""The description of one operation of the control API."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from serve.base.record import Record

A = TypeVar("A")

# Statuses of operations that only read, and of operations that change something.
LOOK_ERRORS = ("401", "403", "404", "503")
CHANGE_ERRORS = ("400", "401", "403", "404", "413", "415", "429", "503")


@dataclass(frozen=True, kw_only=True)
class Operation(Generic[A]):
    """Describes an operation in one place. Its route, its documentation, the call to the keeper and the call
    from the command line are derived from it.

    The method `name` of `GatewayCommands` answers it, or else the one of `Commands`. Its arguments are, in
    this order: the names in the path, `fixed`, the query parameter `after`, the body as a record, and, if the
    role is `operate`, the name of the person."""

    name: str
    method: Literal["GET", "POST", "PUT"] = "GET"
    path: str
    # The required role: `view` can read everything, `operate` can also change it.
    role: Literal["view", "operate"] = "view"
    # A constant argument.
    fixed: str | None = None
    # The query parameter `after` is accepted.
    after: bool = False
    body: type[Record] | None = None
    # An empty body counts as an empty record.
    empty: bool = False
    # The content type of a form is accepted too, because `curl -d` sends it.
    curl: bool = False
    # The setting with the rate limit, for the role `operate`.
    limited_by: Literal["control_writes_per_s", "feedback_per_s"] = "control_writes_per_s"
    # A record, several records, or plain JSON data.
    answer: type[A]
    # The key of the records in the JSON answer, if there are several.
    key: str | None = None
    status: Literal[200, 201] = 200
    # The texts of the documentation.
    summary: str
    description: str = ""
    answered: str
    errors: tuple[str, ...] = LOOK_ERRORS
    # The name of the answer's schema; empty: the record's name.
    schema: str = ""
    # Description -> body, and the answer to the first body.
    examples: Mapping[str, Any] = field(default_factory=dict)
    example: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters in the path, in order."""
        return tuple(re.findall(r"{(\w+)}", self.path))
