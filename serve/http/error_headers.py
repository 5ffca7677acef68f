"""The headers of an error response."""

from serve.base.errors import CounterweightError


def headers_of(error: CounterweightError) -> dict[str, str]:
    """The header for a retry time or for authentication, if the error has one."""
    if error.status == 401:
        return {"www-authenticate": 'Bearer realm="counterweight"'}
    if error.status in (429, 503):
        return {"retry-after": str(getattr(error, "retry_after_s", 1))}
    return {}
