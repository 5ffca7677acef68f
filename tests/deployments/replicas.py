"""The errors of a replica as Ray raises them."""

from typing import Any

from ray.exceptions import RayTaskError


def raised_there(error: Exception) -> Exception:
    """Return the error as Ray raises it in the caller of a replica."""
    # Ray has no type annotations for this call.
    make: Any = RayTaskError
    raised: Exception = make("run", "Traceback ...", error).as_instanceof_cause()
    return raised
