"""Summary: what the demo found, one row per variant; `summary.json` and the table are made from it."""

from collections.abc import Mapping
from typing import Any, Literal

import tabulate
from pydantic import JsonValue

from deployments.demo.cpu import CpuCost
from serve.record import Record
from serve.repository import StoredModel
from serve.routing import Routes

# A p99 of fewer samples rests on less than ten slow requests.
_SAMPLES_FOR_P99 = 1000
# Where a heading is broken in a terminal: fourteen columns must fit beside one another.
_BREAKS = {
    "parameters": "para-\nmeters",
    "accuracy": "accu-\nracy",
    "macro-F1": "macro-\nF1",
    "agreement": "agree-\nment",
    "requests": "re-\nquests",
    "CPU ms / request": "CPU ms/\nrequest",
}


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
    # Latency from the intended start.
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_ms_per_request: float | None


class Summary(Record):
    """The content of `summary.json`, schema version 1."""

    schema_version: Literal[1] = 1
    model: str
    baseline: str
    placement: Literal["apart"] = "apart"
    # How many rows the quality figures rest on.
    held_out_rows: int
    variants: tuple[VariantRow, ...]
    cpu: CpuCost
    # The load test's own reports: the split as routed, and all variants in turn at random.
    split: dict[str, JsonValue]
    pinned: dict[str, JsonValue]


def summarize(
    model: StoredModel, routes: Routes, cpu: CpuCost, split: Mapping[str, Any], pinned: Mapping[str, Any]
) -> Summary:
    """The summary of a run; `split` and `pinned` are reports of `counterweight loadtest run --json`."""
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
                cpu_ms_per_request=cpu.variants.get(f"{model.name}:{variant}"),
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
        cpu=cpu,
        split=dict(split),
        pinned=dict(pinned),
    )


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
            ("~" if row.p99_ms and row.requests < _SAMPLES_FOR_P99 else "") + _ms(row.p99_ms),
            _ms(row.cpu_ms_per_request),
        ]
        for row in summary.variants
    ]
    return [head, *rows]


def notes(summary: Summary) -> list[str]:
    """What a reader must know beside the table."""
    cpu, ray_share = summary.cpu, summary.cpu.ray_per_s / 1000
    warnings = summary.split["warnings"]
    assert isinstance(warnings, list)
    return [
        f"quality is measured on {summary.held_out_rows} held-out scans; - means no traffic, at weight 0",
        *(f"{'~' if str(warning).startswith('the p99') else '!'}  {warning}" for warning in warnings),
        "CPU ms/request: the variant's own replica, idle work off, "
        f"plus {cpu.gateway:.2f} gateway; Ray's own: {ray_share:.1%} of a core",
    ]


def table(summary: Summary) -> str:
    """The table and its notes, for a terminal."""
    head, *rows = cells(summary)
    narrow = [_BREAKS.get(name, name.replace(" ", "\n", 1)) for name in head]
    # Fourteen columns have no room for the space that it adds to headings.
    tabulate.MIN_PADDING = 0
    grid = tabulate.tabulate(
        rows, narrow, disable_numparse=True, colalign=["left"] + ["right"] * (len(head) - 1)
    )
    return "\n".join([grid, *notes(summary)])


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
