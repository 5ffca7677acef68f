"""Summary: what the demo found, one row per variant; `summary.json` and the table are made from it."""

import textwrap
from collections.abc import Mapping
from typing import Any, Literal

import tabulate
from pydantic import JsonValue

from serve.base.record import Record
from serve.base.routing import Routes
from serve.bundles.repository import StoredModel

# A p99 of fewer samples rests on less than ten slow requests.
_SAMPLES_FOR_P99 = 1000
# Columns of a terminal.
_WIDTH = 120
# Where a heading is broken in a terminal: fourteen columns must fit beside one another.
_BREAKS = {
    "parameters": "para-\nmeters",
    "accuracy": "accu-\nracy",
    "macro-F1": "macro-\nF1",
    "agreement": "agree-\nment",
    "requests": "re-\nquests",
    "CPU ms / request": "CPU ms/\nrequest",
}


class Latency(Record):
    """Counted from the intended start, with its 95 % interval; None: too few answers for that bound."""

    value: float
    low: float | None
    high: float | None


class CpuTime(Record):
    """What a request cost the server in CPU ms, idle work of its processes included."""

    # The model's own run.
    model_ms: float
    gateway_ms: float
    # What stands between: the variant's process around its runs, the keeper, and Ray's own processes.
    proxy_ms: float

    @property
    def total_ms(self) -> float:
        """Everything."""
        return self.model_ms + self.gateway_ms + self.proxy_ms


class VariantRow(Record):
    """One variant: quality as exported, traffic and cost as measured. None: it had no traffic."""

    variant: str
    model_size_bytes: int
    parameters: int
    accuracy: float
    macro_f1: float
    # Share of held-out inputs on which the top class is the baseline's.
    agreement: float
    share_asked: float
    share_served: float
    requests: int
    errors: int
    p50_ms: Latency | None
    p95_ms: Latency | None
    p99_ms: Latency | None
    cpu_per_request: CpuTime | None


class Summary(Record):
    """The content of `summary.json`, schema version 2."""

    schema_version: Literal[2] = 2
    model: str
    baseline: str
    placement: Literal["apart"] = "apart"
    # How many rows the quality figures rest on.
    held_out_rows: int
    variants: tuple[VariantRow, ...]
    # The load test's own reports: the split as routed, and all variants in turn at random.
    split: dict[str, JsonValue]
    pinned: dict[str, JsonValue]


def summarize(
    model: StoredModel, routes: Routes, split: Mapping[str, Any], pinned: Mapping[str, Any]
) -> Summary:
    """The summary of a run; `split` and `pinned` are what `counterweight loadtest run --json` wrote."""
    rows = []
    for variant, bundle in model.servable.items():
        figures, quality = bundle.figures, bundle.figures.quality
        # The demo's model is a classifier with labels, so all three are there.
        assert quality.accuracy is not None
        assert quality.macro_f1 is not None
        assert quality.agreement is not None
        load = split["variants"][variant]
        rows.append(
            VariantRow(
                variant=variant,
                model_size_bytes=figures.model_size_bytes,
                parameters=figures.parameters,
                accuracy=quality.accuracy.value,
                macro_f1=quality.macro_f1.value,
                agreement=quality.agreement.value,
                share_asked=routes.share(variant),
                # Where all have equal traffic, so that what a process spends at rest weighs alike.
                cpu_per_request=_cpu_time(pinned["variants"][variant]["cost"]),
                **{
                    name: load[name]
                    for name in ("share_served", "requests", "errors", "p50_ms", "p95_ms", "p99_ms")
                },
            )
        )
    return Summary(
        model=model.name,
        baseline=model.baseline,
        held_out_rows=model.bundles[model.baseline].figures.quality.rows,
        variants=tuple(rows),
        split=dict(split),
        pinned=dict(pinned),
    )


def _cpu_time(cost: Mapping[str, float] | None) -> CpuTime | None:
    if cost is None:
        return None
    # Seconds for 1,000 requests are milliseconds for one.
    return CpuTime(model_ms=cost["model_s"], gateway_ms=cost["gateway_s"], proxy_ms=cost["proxy_s"])


def cells(summary: Summary) -> list[list[str]]:
    """The side-by-side table as text: the head, then a row per variant."""
    head = ["variant", "file KiB", "parameters", "accuracy", "macro-F1", "agreement"]
    head += ["share asked", "share served", "requests", "errors", "p50 ms", "p95 ms", "p99 ms"]
    head += ["CPU ms / request"]
    rows = [
        [
            row.variant,
            f"{row.model_size_bytes / 1024:.0f}",
            f"{row.parameters:,}",
            f"{row.accuracy:.4f}",
            f"{row.macro_f1:.4f}",
            f"{row.agreement:.4f}",
            f"{row.share_asked:.1%}",
            f"{row.share_served:.1%}",
            f"{row.requests:,}",
            f"{row.errors:,}",
            _ms(row.p50_ms),
            _ms(row.p95_ms),
            ("~" if _is_thin(row) else "") + _ms(row.p99_ms),
            "-" if row.cpu_per_request is None else f"{row.cpu_per_request.total_ms:.2f}",
        ]
        for row in summary.variants
    ]
    return [head, *rows]


def notes(summary: Summary) -> list[str]:
    """What a reader must know beside the table."""
    report: Any = summary.split
    missed = [check for check in report["checks"] if check["outcome"] != "PASS"]
    return [
        f"quality is measured on {summary.held_out_rows} held-out scans; - means no traffic, at weight 0",
        *(f"~  {_thin(row)}" for row in summary.variants if _is_thin(row)),
        *(f"!  {check['name']}: {check['seen']}; wanted: {check['wanted']}" for check in missed),
        *(f"!  {note}" for note in report["notes"]),
        *_costs(summary),
    ]


def _costs(summary: Summary) -> list[str]:
    known = [(row.variant, cpu) for row in summary.variants if (cpu := row.cpu_per_request) is not None]
    if not known:
        return []
    split = ", ".join(f"{variant} {cpu.model_ms:.2f} + {cpu.proxy_ms:.2f}" for variant, cpu in known)
    return [
        f"CPU ms/request, all asked in turn: {known[0][1].gateway_ms:.2f} gateway; then the model's run and "
        f"what is between, Ray included: {split}"
    ]


def _is_thin(row: VariantRow) -> bool:
    return row.p99_ms is not None and row.requests < _SAMPLES_FOR_P99


def _thin(row: VariantRow) -> str:
    assert row.p99_ms is not None
    low, high = row.p99_ms.low, row.p99_ms.high
    ends = f"{'0' if low is None else f'{low:.2f}'} ms" + (
        "" if high is None else f" and below {high:.2f} ms"
    )
    return f"{row.requests:,} answers of {row.variant} say no more of its p99 than that it is above {ends}"


def table(summary: Summary) -> str:
    """The table and its notes, for a terminal."""
    head, *rows = cells(summary)
    narrow = [_BREAKS.get(name, name.replace(" ", "\n", 1)) for name in head]
    # Fourteen columns have no room for the space that it adds to headings.
    tabulate.MIN_PADDING = 0
    grid = tabulate.tabulate(
        rows, narrow, disable_numparse=True, colalign=["left"] + ["right"] * (len(head) - 1)
    )
    said = [textwrap.fill(note, _WIDTH, subsequent_indent="   ") for note in notes(summary)]
    return "\n".join([grid, *said])


def _ms(latency: Latency | None) -> str:
    return "-" if latency is None else f"{latency.value:.2f}"
