"""The figures of one variant in a load test."""

from typing import Annotated

from pydantic import Field

from serve.base.record import Record

Share = Annotated[float, Field(ge=0, le=1)]


class Interval(Record):
    """A value with its interval; a bound is None if there are too few samples for it."""

    value: float
    low: float | None
    high: float | None


class RequestCost(Record):
    """CPU seconds for 1,000 requests, by component."""

    # The model's own runs.
    model_s: float
    # The gateways: protocol, queues and routes.
    gateway_s: float
    # Between gateway and model: the variant's process without its runs, and Ray's own processes.
    proxy_s: float
    # The load generator, which the price excludes.
    client_s: float
    # Price of a million requests; None if the limits have no price.
    price_per_million: float | None


class VariantReport(Record):
    """The results of one variant.

    Latency is measured from the scheduled start, over right answers and over requests without an answer,
    which count with the time that they waited. A wrong answer counts only as an error."""

    requests: int
    errors: int
    # Number of requests later than the limit or never answered; None without a limit.
    over_limit: int | None
    # Share of all right answers.
    share_served: Share
    mean_ms: float | None
    # With 95 % intervals by order statistics.
    p50_ms: Interval | None
    p95_ms: Interval | None
    p99_ms: Interval | None
    # Points [quantile, ms], ten per decade of the tail (1 - quantile), as far as the samples reach.
    curve: tuple[tuple[float, float], ...]
    cost: RequestCost | None = None
