"""Render tallies in the text formats of Prometheus and OpenMetrics.

The text is written directly from the tallies: prometheus_client would take half a second for a hundred
models, and no request could be answered meanwhile."""

import importlib.metadata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from serve.base.errors import DeadlineExceeded, ModelFailed, RefusedInput, VariantUnavailable
from serve.counting.tally import EDGES_MS, Histogram, Tally
from serve.counting.usage import Usage

_VERSION = importlib.metadata.version("counterweight")
_PLAIN = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text"


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantView:
    """The present state of one variant, for metrics."""

    name: str
    # The share of requests that the routes configure, 0 to 1.
    share: float
    # The share of the baseline's requests that the routes copy to it, 0 to 1.
    shadow_share: float
    tally: Tally
    # Requests in progress.
    in_flight: int
    # Rows in the queue.
    waiting_rows: int
    ready: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelView:
    """The present state of one served model, for metrics."""

    name: str
    # The revision of its routes.
    revision: int
    variants: tuple[VariantView, ...]


# (labels, view) of every variant, from which all families are rendered.
_Labelled = list[tuple[str, VariantView]]


@dataclass(frozen=True, slots=True)
class _Family:
    """A metric with one sample per variant."""

    name: str
    help: str
    value: Callable[[VariantView], float]


_COUNTERS = (
    _Family("requests", "Requests that the variant accepted and that ended.", lambda v: v.tally.requests),
    _Family(
        "rescues",
        "Failed requests that the baseline or a second try answered.",
        lambda v: v.tally.rescues,
    ),
    _Family(
        "abandoned",
        "Requests whose clients disconnected before the answer.",
        lambda v: v.tally.abandoned,
    ),
    _Family("sheds", "Requests refused because the queue was full.", lambda v: v.tally.sheds),
    _Family("inferred_rows", "Rows of successful runs.", lambda v: v.tally.rows),
    _Family(
        "run_duration_seconds",
        "Total time of the model's runs in seconds.",
        lambda v: sum(v.tally.run_ms.values()) / 1e3,
    ),
    _Family(
        "run_cpu_seconds", "Total CPU time of the model's runs in seconds.", lambda v: v.tally.cpu_ms / 1e3
    ),
    _Family("shadow_rows", "Rows that the shadow answered and that were compared.", lambda v: v.tally.copies),
    _Family(
        "shadow_disagreements",
        "Compared rows whose answers differed, or that failed.",
        lambda v: v.tally.disagreements,
    ),
    _Family("shadow_drops", "Rows that the shadow dropped.", lambda v: v.tally.drops),
    _Family(
        "shadow_explained_rows",
        "Rows that the shadow and the baseline explained.",
        lambda v: v.tally.explained,
    ),
    _Family(
        "shadow_explanation_overlap",
        "Sum over explained rows of the share of the most important features that are the baseline's.",
        lambda v: v.tally.explanation_overlap,
    ),
)
_GAUGES = (
    _Family("in_flight", "Requests in progress.", lambda v: v.in_flight),
    _Family("waiting_rows", "Rows in the queue.", lambda v: v.waiting_rows),
    _Family("ready", "1 if the variant can answer now, else 0.", lambda v: int(v.ready)),
    _Family(
        "shadow_share",
        "Share of the baseline's requests that the routes copy to the variant, 0 to 1.",
        lambda v: v.shadow_share,
    ),
    _Family("route_share", "Share of requests that the routes configure, 0 to 1.", lambda v: v.share),
)
# Shown from the start, so that the first failure of a kind is visible as an increase.
_CAUSES = {cause.__name__: 0 for cause in (DeadlineExceeded, ModelFailed, RefusedInput, VariantUnavailable)}
# Every eighth edge of the tally, three per decade, 0.2 ms to 10 s; the counts below these edges are exact.
_SECONDS = [(step, float(f"{EDGES_MS[step] / 1e3:.6g}")) for step in range(8, 121, 8)]
_ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256]


def render(models: Iterable[ModelView], usage: Usage | None = None, accept: str = "") -> tuple[bytes, str]:
    """Render the metrics of these models and, if known, of the processes. Returns the text and its content
    type: OpenMetrics if `accept` names it."""
    openmetrics = _OPENMETRICS in accept
    text = "".join([*_lines(list(models), openmetrics), *_processes(usage, openmetrics)])
    if openmetrics:
        return f"{text}# EOF\n".encode(), f"{_OPENMETRICS}; version=1.0.0; charset=utf-8"
    return text.encode(), _PLAIN


def _lines(models: list[ModelView], openmetrics: bool) -> Iterator[str]:
    # OpenMetrics names a counter without the suffix of its samples, the older format with it.
    counter = "" if openmetrics else "_total"
    # The names of models, variants and error classes need no escapes (see `serve.bundles.bundle.Name`).
    labelled = [
        (f'model="{model.name}",variant="{view.name}"', view) for model in models for view in model.variants
    ]
    for family in _COUNTERS:
        yield _head(family.name + counter, "counter", family.help)
        for labels, view in labelled:
            yield f"counterweight_{family.name}_total{{{labels}}} {family.value(view)}\n"
    yield _head(f"request_failures{counter}", "counter", "Failed requests by the class of their error.")
    yield from _failures(labelled)
    for family in _GAUGES:
        yield _head(family.name, "gauge", family.help)
        for labels, view in labelled:
            yield f"counterweight_{family.name}{{{labels}}} {family.value(view)}\n"
    yield _head(
        "request_duration_seconds", "histogram", "Seconds from the decoded request to the encoded answer."
    )
    yield from _durations("request_duration_seconds", labelled, lambda view: view.tally.latency)
    yield _head("queue_duration_seconds", "histogram", "Seconds that a request waits in the queue.")
    yield from _durations("queue_duration_seconds", labelled, lambda view: view.tally.queued)
    yield from _batch_rows(labelled)
    yield _head("routes_revision", "gauge", "Revision of the model's routes; it increases with each change.")
    for model in models:
        yield f'counterweight_routes_revision{{model="{model.name}"}} {model.revision}\n'
    yield _head("build_info", "gauge", "Always 1; the label has the version of the server.")
    yield f'counterweight_build_info{{version="{_VERSION}"}} 1\n'


def _processes(usage: Usage | None, openmetrics: bool) -> Iterator[str]:
    if usage is None:
        return
    labelled = []
    for part in usage.parts:
        name, model, variant = part.part
        rest = "" if model is None else f',model="{model}",variant="{variant}"'
        labelled.append((f'part="{name}"{rest}', part))
    counter = "" if openmetrics else "_total"
    yield _head(f"process_cpu_seconds{counter}", "counter", "Seconds of CPU time of the server's processes.")
    for labels, part in labelled:
        yield f"counterweight_process_cpu_seconds_total{{{labels}}} {part.cpu_s}\n"
    yield _head("process_resident_memory_bytes", "gauge", "Resident memory of the server's processes.")
    for labels, part in labelled:
        yield f"counterweight_process_resident_memory_bytes{{{labels}}} {part.resident_bytes}\n"
    yield _head("process_read_timestamp_seconds", "gauge", "Time of this reading, in seconds since 1970.")
    yield f"counterweight_process_read_timestamp_seconds {usage.read_s}\n"


def _head(name: str, kind: str, help_text: str) -> str:
    return f"# HELP counterweight_{name} {help_text}\n# TYPE counterweight_{name} {kind}\n"


def _failures(labelled: _Labelled) -> Iterator[str]:
    for labels, view in labelled:
        for cause, count in {**_CAUSES, **view.tally.failures}.items():
            yield f'counterweight_request_failures_total{{{labels},cause="{cause}"}} {count}\n'


def _durations(
    name: str, labelled: _Labelled, histogram_of: Callable[[VariantView], Histogram]
) -> Iterator[str]:
    for labels, view in labelled:
        histogram = histogram_of(view)
        below = list(accumulate(histogram.buckets))
        for step, edge in _SECONDS:
            yield f'counterweight_{name}_bucket{{{labels},le="{edge}"}} {below[step]}\n'
        yield _totals(name, labels, below[-1], histogram.sum_ms / 1e3)


def _batch_rows(labelled: _Labelled) -> Iterator[str]:
    yield _head("batch_rows", "histogram", "Rows per run of the model.")
    for labels, view in labelled:
        sizes = sorted(view.tally.runs.items())
        below = [0, *accumulate(runs for _, runs in sizes)]
        for edge in _ROWS:
            count = below[bisect_right(sizes, edge, key=lambda size: size[0])]
            yield f'counterweight_batch_rows_bucket{{{labels},le="{edge}.0"}} {count}\n'
        yield _totals("batch_rows", labels, below[-1], sum(rows * runs for rows, runs in sizes))


def _totals(name: str, labels: str, count: int, total: float) -> str:
    return (
        f'counterweight_{name}_bucket{{{labels},le="+Inf"}} {count}\n'
        f"counterweight_{name}_sum{{{labels}}} {total}\n"
        f"counterweight_{name}_count{{{labels}}} {count}\n"
    )
