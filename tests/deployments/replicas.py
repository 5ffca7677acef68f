"""What Ray makes of the errors of a replica."""

from typing import Any

from ray.exceptions import RayTaskError


def raised_there(error: Exception) -> Exception:
    """As Ray raises here what a replica raised."""
    # Ray's own types say nothing of it.
    make: Any = RayTaskError
    raised: Exception = make("run", "Traceback ...", error).as_instanceof_cause()
    return raised
