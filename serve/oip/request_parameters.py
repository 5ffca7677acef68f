"""Parameters: what a request says besides its tensors."""

from collections.abc import Mapping
from typing import Any

from serve.base.errors import InvalidRequest
from serve.base.wording import brief, kind

Parameters = Mapping[str, bool | int | float | str]


def check_parameters(parameters: Any) -> Parameters:
    """The parameters of a request, with those that mean nothing here, such as `priority`, let through.

    Raises InvalidRequest for what cannot be honoured."""
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"'parameters' is {kind(parameters)}, expected an object")
    for name, value in parameters.items():
        if name == "headers" or name.startswith("triton_"):
            raise InvalidRequest(f"parameter {brief(name)} is reserved; give yours another name")
        if not isinstance(value, bool | int | float | str):
            raise InvalidRequest(
                f"parameter {brief(name)} is {kind(value)}, expected a boolean, a number or a string"
            )
        if name.startswith("sequence_") and value:
            raise InvalidRequest(
                f"parameter {brief(name)} is {brief(value)}, but no model here keeps a state; leave it out"
            )
    priority = parameters.get("priority", 0)
    if type(priority) is not int or priority < 0:
        raise InvalidRequest(f"parameter 'priority' is {brief(priority)}, expected a whole number from 0 up")
    return parameters


def read_timeout_s(parameters: Parameters) -> float | None:
    """How long the client waits for its answer, from `timeout`; None: it does not say.

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
    """The boolean parameter `name`; None: it is not there. Raises InvalidRequest."""
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"parameter {name!r} is {kind(value)}, expected a boolean")
    return value


def refuse_shared_memory(parameters: Mapping[str, Any], tensor: Any) -> None:
    """Raise InvalidRequest when the tensor's data is meant to be in shared memory."""
    if "shared_memory_region" in parameters:
        raise InvalidRequest(
            f"tensor {brief(tensor)} names a region of shared memory, which this server does not touch; "
            "send and ask for the data itself"
        )


def read_variant(parameters: Any) -> str | None:
    """The variant that is to be loaded or unloaded, from `variant`; None: all of the model's.

    Raises InvalidRequest for anything that would change what is loaded."""
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"'parameters' is {kind(parameters)}, expected an object")
    for name in parameters:
        # No model depends on another, so unloading one's dependents is done by doing nothing.
        if name not in ("variant", "unload_dependents"):
            raise InvalidRequest(
                f"parameter {brief(name)} is not taken, a variant is loaded as its bundle says; put that "
                "into the repository, and name it with the parameter 'variant', or leave it out for all"
            )
    variant = parameters.get("variant")
    if variant is not None and not isinstance(variant, str):
        raise InvalidRequest(f"parameter 'variant' is {kind(variant)}, expected a name")
    return variant
