"""Refusal: what stands in the headers of an answer that is an error."""

from serve.base.errors import CounterweightError


def headers_of(error: CounterweightError) -> dict[str, str]:
    """When to try again, and how to show who one is."""
    if error.status == 401:
        return {"www-authenticate": 'Bearer realm="counterweight"'}
    if error.status in (429, 503):
        return {"retry-after": str(getattr(error, "retry_after_s", 1))}
    return {}
