"""Describes the load of one test."""

from itertools import pairwise
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator

from loadtests.errors import LoadTestError
from loadtests.sending.model_metadata import ModelMetadata
from serve.base.record import Record, explain, nearest

Rate = Annotated[float, Field(ge=0, le=100_000)]
Seconds = Annotated[float, Field(ge=0, le=7 * 86_400)]


class LoadPlan(Record):
    """An open-loop load on one model. The same plan sends the same requests at the same times."""

    # Scheme, host and port, without a trailing slash; a path before /v2 is kept.
    url: str
    model: Annotated[str, Field(min_length=1)]
    # Points [second, requests per second] joined by straight lines; two points at the same second are a step.
    profile: Annotated[tuple[tuple[Seconds, Rate], ...], Field(min_length=2)]
    # poisson: random, like independent users; constant: evenly spaced.
    arrivals: Literal["poisson", "constant"] = "poisson"
    # Seconds of load at the profile's first rate before the measurement, which are not counted.
    warmup_s: Seconds = 2
    seed: Annotated[int, Field(ge=0)] = 0
    # The variant of each request is drawn from these; empty: the server's split decides.
    pinned: tuple[str, ...] = ()
    # Tensors travel as bytes instead of JSON.
    binary: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        times = [second for second, _ in self.profile]
        if times[0] != 0 or any(later < earlier for earlier, later in pairwise(times)):
            raise ValueError(f"the profile's seconds are {times}; begin with 0 and use ascending order")
        if not self.requests:
            raise ValueError("the profile sends nothing; give it a rate and a duration above 0")
        return self

    @property
    def duration_s(self) -> float:
        """Duration of the measured part."""
        return self.profile[-1][0]

    @property
    def requests(self) -> float:
        """Expected number of requests."""
        return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(self.profile))

    @property
    def rate_per_s(self) -> float:
        """Average rate."""
        return self.requests / self.duration_s

    @property
    def is_steady(self) -> bool:
        """Whether the rate is constant."""
        return len({rate for _, rate in self.profile}) == 1


def steady(rate_per_s: float, duration_s: float) -> tuple[tuple[float, float], ...]:
    """Return the profile of one constant rate."""
    return (0.0, rate_per_s), (duration_s, rate_per_s)


def parse_profile(text: str) -> tuple[tuple[float, float], ...]:
    """Parse a profile written as `second:rate,...`. Raises LoadTestError."""
    points = []
    for word in text.split(","):
        second, colon, rate = word.partition(":")
        try:
            points.append((float(second), float(rate)))
        except ValueError:
            colon = ""
        if not colon:
            raise LoadTestError(f"--profile: {word!r} is not a point; write SECOND:RATE, such as 0:10,60:200")
    return tuple(points)


def make_plan(*, url: str, **fields: object) -> LoadPlan:
    """Make a plan from the user's options. Raises LoadTestError."""
    try:
        return LoadPlan.model_validate({"url": check_url(url), **fields})
    except ValidationError as error:
        raise LoadTestError(explain(error)) from None


def check_url(url: str) -> str:
    """Return `url` without a trailing slash. Raises LoadTestError if it is not an http(s) address."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or parts.username:
        raise LoadTestError(
            f"{url!r} is not a server's address; write it with scheme and host, such as http://127.0.0.1:8000"
        )
    return url.rstrip("/")


def check_pins(pinned: tuple[str, ...], metadata: ModelMetadata) -> None:
    """Raises LoadTestError if a pin is not a variant of the model, or is given twice."""
    for variant in pinned:
        if variant not in metadata.versions and variant in metadata.unserved:
            raise LoadTestError(
                f"cannot pin {variant!r}: {metadata.name} does not serve it: {metadata.unserved[variant]}"
            )
        if variant not in metadata.versions:
            hint = nearest(variant, metadata.versions)
            raise LoadTestError(f"cannot pin {variant!r}: {metadata.name} has no such variant; {hint}")
        if pinned.count(variant) > 1:
            raise LoadTestError(f"{variant!r} is pinned twice; name it once")
