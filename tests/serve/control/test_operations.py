import inspect
from typing import get_args

import pytest

from serve.control.commands import Commands
from serve.control.gateway_commands import GatewayCommands
from serve.control.operation_row import Operation
from serve.control.operations import ACTS, OPERATIONS
from serve.rollout.api_records import Act

# The keeper answers these itself, from the repository.
KEEPERS = {"bundles"}


@pytest.mark.parametrize(
    "operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}"
)
def test_every_operation_has_a_method_that_takes_its_arguments(operation: Operation[object]) -> None:
    """Each method takes the path's names, the fixed word, the number, the body and the caller, in this
    order."""
    if operation.name in KEEPERS:
        return
    owners = [owner for owner in (GatewayCommands, Commands) if hasattr(owner, operation.name)]
    wanted = [
        *operation.names,
        *(["act"] if operation.fixed is not None else []),
        *(["after"] if operation.after else []),
        *(["body"] if operation.body is not None else []),
        *(["by"] if operation.role == "operate" else []),
    ]
    for owner in owners:
        parameters = list(inspect.signature(getattr(owner, operation.name)).parameters)[1:]
        assert len(parameters) == len(wanted)
        assert all(name in ("body", given) for name, given in zip(wanted, parameters, strict=True))
    assert owners


def test_no_two_operations_have_the_same_method_and_path() -> None:
    """Each operation has its own method and path."""
    places = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(set(places)) == len(places)


def test_every_act_is_an_operation() -> None:
    """Each act has an operation."""
    assert set(ACTS) == set(get_args(Act))
