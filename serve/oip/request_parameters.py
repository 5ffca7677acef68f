"""Check the parameters of a request."""

from collections.abc import Mapping
from typing import Any

from serve.base.error_text import brief, kind
from serve.base.errors import InvalidRequest

Parameters = Mapping[str, bool | int | float | str]


def check_parameters(parameters: Any) -> Parameters:
    """Check the parameters of a request. Parameters without a meaning here, such as `priority`, are ignored.

    Raises InvalidRequest for parameters that cannot be honoured."""
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"'parameters' is {kind(parameters)}, expected an object")
    for name, value in parameters.items():
        if name == "headers" or name.startswith("triton_"):
            raise InvalidRequest(f"parameter {brief(name)} is reserved; use another name")
        if not isinstance(value, bool | int | float | str):
            raise InvalidRequest(
                f"parameter {brief(name)} is {kind(value)}, expected a boolean, a number or a string"
            )
        if name.startswith("sequence_") and value:
            raise InvalidRequest(
                f"parameter {brief(name)} is {brief(value)}, but models here are stateless; leave it out"
            )
    priority = parameters.get("priority", 0)
    if type(priority) is not int or priority < 0:
        raise InvalidRequest(f"parameter 'priority' is {brief(priority)}, expected a whole number from 0 up")
    return parameters


def read_timeout_s(parameters: Parameters) -> float | None:
    """How long the client waits for its answer, from `timeout`; None if it sets no limit.

    Raises InvalidRequest."""
    timeout = parameters.get("timeout")
    if timeout is None:
        return None
    digits = isinstance(timeout, str) and len(timeout) <= 18 and timeout.isascii() and timeout.isdigit()
    microseconds = int(timeout) if digits or type(timeout) is int else 0
    if microseconds < 1:
        raise InvalidRequest(
            f"parameter 'timeout' is {brief(timeout)}, expected a whole number of microseconds from 1 up"
        )
    return microseconds / 1e6


def read_switch(parameters: Parameters, name: str) -> bool | None:
    """The boolean parameter `name`; None if it is missing. Raises InvalidRequest."""
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"parameter {name!r} is {kind(value)}, expected a boolean")
    return value


def refuse_shared_memory(parameters: Mapping[str, Any], tensor: Any) -> None:
    """Raise InvalidRequest if the tensor's data is in shared memory."""
    if "shared_memory_region" in parameters:
        raise InvalidRequest(
            f"tensor {brief(tensor)} names a region of shared memory, which this server does not support; "
            "send the data itself"
        )


def read_variant(parameters: Any) -> str | None:
    """The variant to load or unload, from `variant`; None for all variants of the model.

    Raises InvalidRequest for parameters that would change the bundle."""
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"'parameters' is {kind(parameters)}, expected an object")
    for name in parameters:
        # No model depends on another, so there are no dependents to unload.
        if name not in ("variant", "unload_dependents"):
            raise InvalidRequest(
                f"parameter {brief(name)} is not supported, because a variant is loaded from its bundle; put "
                "the bundle into the repository, and name it with the parameter 'variant', or leave it out "
                "for all variants"
            )
    variant = parameters.get("variant")
    if variant is not None and not isinstance(variant, str):
        raise InvalidRequest(f"parameter 'variant' is {kind(variant)}, expected a name")
    return variant
