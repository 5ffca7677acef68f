"""Formats the figures of a report as table cells with small print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from export.report.cells import Cell, show_output, show_quality
from export.report.pareto import at, single
from serve.bundles.bundle import Bundle
from serve.bundles.figures import (
    Figures,
    SpeedPoint,
    find_common_rows,
)
from serve.tasks.criterion import explain_likeness
from serve.tasks.task_table import FIGURES, TASKS

_ANATOMY = (
    "file",
    "gzip",
    "parameters",
    "multiply-adds",
    "integers",
    "operators",
    "largest difference to torch",
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A head, a row of cells per variant, an optional line below, and a note that explains the table."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: Mapping[str, Sequence[Cell]]
    below: Mapping[str, str] = field(default_factory=dict)


def quality(bundles: Mapping[str, Bundle], classes: Sequence[str] = ()) -> Table:
    """Show all quality metrics that the model has with their intervals, and the worst class by its name in
    `classes`."""
    first = next(iter(bundles.values())).figures.quality
    shown = [name for name in FIGURES if getattr(first, name) is not None]
    return Table(
        title="Is it as good?",
        note=f"On {first.rows:,} held-out rows that were not used for any training or choice. Small print: "
        "the change "
        f"from the baseline, and the {first.confidence:.0%} interval, whose worse end must pass the floor."
        + "".join(f" {words[0].upper()}{words[1:]}." for words in explain_likeness(first)),
        head=("floor", *(FIGURES[name].heading for name in shown)),
        rows={
            name: [
                ("rejected" if bundle.rejected else "accepted", ""),
                *(show_quality(bundle.figures.quality, item, classes) for item in shown),
            ]
            for name, bundle in bundles.items()
        },
        below={name: bundle.rejected for name, bundle in bundles.items() if bundle.rejected},
    )


def outputs(bundles: Mapping[str, Bundle]) -> Table | None:
    """Show each output, if there are several or one that is neither class scores nor an embedding; otherwise
    None, because the quality table is complete."""
    first = next(iter(bundles.values())).figures.quality.outputs
    plain = len(first) == 1 and first[0].meaning.kind in ("classes", "vectors")
    if not first or (plain and first[0].correlation is None):
        return None
    item = TASKS[next(iter(bundles.values())).figures.quality.task].item
    return Table(
        title="Does each output agree?",
        note=f"Share of held-out {item} on which the output agrees, with its interval; its smallest "
        "and largest number; for numbers, R2 against the baseline's, with the lower end of its interval; the "
        "correlation with the baseline's over the rows, if a constant would pass the floor.",
        head=tuple(output.name for output in first),
        rows={
            name: [show_output(output) for output in bundle.figures.quality.outputs]
            for name, bundle in bundles.items()
            if len(bundle.figures.quality.outputs) == len(first)
        },
    )


def speed(bundles: Mapping[str, Bundle]) -> Table:
    """Show one row, the largest batch at which all variants were measured, the knee, and the memory of a
    session."""
    first = next(iter(bundles.values()))
    common = find_common_rows(bundle.figures.speed for bundle in bundles.values())
    tokens = single(first).tokens
    length = f" of {tokens} tokens" if tokens else ""
    shared = (
        f"In {common} rows: the largest batch at which all variants were measured. " if common > 1 else ""
    )
    return Table(
        title="Is it faster?",
        note="All variants took turns in one run, with one thread. Faster: the baseline's CPU time divided "
        "by the "
        f"variant's, with its interval; for text, at each length. {shared}Knee: each variant's smallest "
        "batch "
        "in which a row costs at most a tenth more than in its cheapest batch. Latency: wall-clock "
        f"percentiles of one row{length}, with the number of samples.",
        head=(
            "faster, one row",
            *([f"in {common} rows"] if common > 1 else []),
            "at the knee",
            "CPU ms",
            "latency ms",
            "session",
        ),
        rows={
            name: [
                _faster(at(bundle, 1)),
                *([_faster(at(bundle, common))] if common > 1 else []),
                _at_the_knee(bundle),
                (f"{single(bundle).cpu_p50_ms:.3g}", ""),
                (f"{single(bundle).wall_p50_ms:.3g}", _tail(single(bundle))),
                (f"{bundle.figures.speed.session_bytes / 2**20:.1f} MiB", ""),
            ]
            for name, bundle in bundles.items()
        },
    )


def graph_stats(bundles: Mapping[str, Bundle]) -> Table:
    """Show the contents of the file, and what onnxruntime makes of it."""
    return Table(
        title="What is in it?",
        note="Multiply-adds: for one row (for text, the longest). Integers: the share of the multiply-adds "
        "that "
        "are done in integers, and of the weight bytes that are integers. Operators: in the file, and as run "
        "by onnxruntime on this machine.",
        head=_ANATOMY,
        rows={name: _graph_stats(bundle) for name, bundle in bundles.items()},
    )


def curve(bundle: Bundle) -> list[list[str]]:
    """List every measured batch size: rows, tokens, samples, CPU ms, wall p50, p90 and p99 in ms, speed-
    up."""
    return [
        [
            str(point.rows),
            str(point.tokens or "-"),
            str(point.samples),
            f"{point.cpu_p50_ms:.3f}",
            *(
                "-" if value is None else f"{value:.3f}"
                for value in (point.wall_p50_ms, point.wall_p90_ms, point.wall_p99_ms)
            ),
            f"{point.speedup.value:.2f} [{point.speedup.low:.2f}, {point.speedup.high:.2f}]",
        ]
        for point in bundle.figures.speed.points
    ]


def _at_the_knee(bundle: Bundle) -> Cell:
    if bundle.rows == "alone":
        return "-", "its rows affect each other: one row per run"
    rows = bundle.figures.speed.knee_rows
    return _faster(at(bundle, rows), rows)


def _faster(points: Sequence[SpeedPoint], rows: int = 1) -> Cell:
    where = "" if rows == 1 else f"{rows} rows "
    values = " / ".join(f"{point.speedup.value:.2f}" for point in points) + "x"
    if len(points) > 1:
        return values, f"{where}of {' / '.join(str(point.tokens) for point in points)} tokens"
    speedup = points[0].speedup
    interval = "" if speedup.low == speedup.high else f"[{speedup.low:.2f}, {speedup.high:.2f}]"
    return values, f"{where}{interval}"


def _tail(point: SpeedPoint) -> str:
    tail = [("p90", point.wall_p90_ms), ("p99", point.wall_p99_ms)]
    words = [f"{name} {value:.3g}" for name, value in tail if value is not None]
    return ", ".join([*words, f"{point.samples} samples"])


def _graph_stats(bundle: Bundle) -> list[Cell]:
    figures = bundle.figures
    zeros = 1 - figures.nonzero_parameters / figures.parameters if figures.parameters else 0
    return [
        (_bytes(figures.model_size_bytes), ""),
        (_bytes(figures.compressed_size_bytes), ""),
        (f"{figures.parameters:,}", f"{zeros:.1%} are zero"),
        (f"{figures.multiply_adds:,}", ""),
        _integers(figures),
        (
            f"{sum(figures.operators.values())} / {sum(figures.operators_loaded.values())}",
            ", ".join(f"{count} {name}" for name, count in list(figures.operators_loaded.items())[:4]),
        ),
        (f"{figures.parity.max_abs_difference:.1e}" if figures.parity else "-", ""),
    ]


def _integers(figures: Figures) -> Cell:
    shares = figures.integers
    if shares is None:
        return "-", ""
    return f"{shares.multiply_adds:.1%}", f"{shares.weight_bytes:.1%} of the bytes"


def _bytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
