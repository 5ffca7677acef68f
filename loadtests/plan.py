"""LoadPlan: what one load test shall do."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from loadtests.errors import LoadTestError
from loadtests.metadata import ModelMetadata
from loadtests.record import Record, explain, nearest


class LoadPlan(Record):
    """Open-loop load on one model. The same plan sends the same requests at the same times."""

    # Scheme, host and port, without a slash at the end; a path before /v2 is kept.
    url: str
    model: Annotated[str, Field(min_length=1)]
    rate_per_s: Annotated[float, Field(gt=0, le=100_000)] = 100
    duration_s: Annotated[float, Field(gt=0, le=86_400)] = 20
    seed: Annotated[int, Field(ge=0)] = 0
    # Each request goes to one of these, drawn at random; empty: the server's split decides.
    pinned: tuple[str, ...] = ()


def make_plan(*, url: str, **fields: object) -> LoadPlan:
    """The plan of what a person asked for. Raises LoadTestError."""
    try:
        return LoadPlan.model_validate({"url": check_url(url), **fields})
    except ValidationError as error:
        raise LoadTestError(explain(error)) from None


def check_url(url: str) -> str:
    """`url` without a slash at its end. Raises LoadTestError when it is no http(s) address."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or parts.username:
        raise LoadTestError(
            f"{url!r} is no server's address; write it with scheme and host, such as http://127.0.0.1:8000"
        )
    return url.rstrip("/")


def check_pins(pinned: tuple[str, ...], metadata: ModelMetadata) -> None:
    """Raises LoadTestError when a pin is no variant of the model, or was given twice."""
    for variant in pinned:
        if variant not in metadata.versions:
            hint = nearest(variant, metadata.versions)
            raise LoadTestError(f"cannot pin {variant!r}: {metadata.name} has no such variant; {hint}")
        if pinned.count(variant) > 1:
            raise LoadTestError(f"{variant!r} is pinned twice; name it once")
