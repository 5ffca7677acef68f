"""Tables: a report's figures as cells of text, each with what stands small under it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from export.data.labels import name_class
from export.report.pareto import at, single
from serve.bundles.bundle import Bundle
from serve.bundles.criterion import explain_likeness
from serve.bundles.figures import (
    Compared,
    Estimate,
    Figures,
    OutputFigures,
    Quality,
    SpeedPoint,
    find_common_rows,
)

# What is written large, and small beside it.
Cell = tuple[str, str]
_QUALITY = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "worst_class": "worst class",
    "loss": "loss",
    "agreement": "agreement",
    "kl": "KL divergence",
    "cosine": "cosine",
    "rank_correlation": "rank correlation",
}
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
    """A head, and a row of cells for each variant, with what stands below it, if anything; a note says how
    to read it."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: Mapping[str, Sequence[Cell]]
    below: Mapping[str, str] = field(default_factory=dict)


def quality(bundles: Mapping[str, Bundle], classes: Sequence[str] = ()) -> Table:
    """All figures of quality that the model has, each with its interval; the worst class by its name in
    `classes`."""
    first = next(iter(bundles.values())).figures.quality
    shown = [name for name in _QUALITY if getattr(first, name) is not None]
    return Table(
        title="Is it as good?",
        note=f"On {first.rows:,} held-out rows that nothing was learned or chosen from. Small: the change "
        f"against the baseline, and the {first.confidence:.0%} interval; the worse end meets the floor."
        + "".join(f" {words[0].upper()}{words[1:]}." for words in explain_likeness(first)),
        head=("floor", *(_QUALITY[name] for name in shown)),
        rows={
            name: [
                ("rejected" if bundle.rejected else "accepted", ""),
                *(_quality(bundle.figures.quality, item, classes) for item in shown),
            ]
            for name, bundle in bundles.items()
        },
        below={name: bundle.rejected for name, bundle in bundles.items() if bundle.rejected},
    )


def outputs(bundles: Mapping[str, Bundle]) -> Table | None:
    """Each output by itself, where there are several, or one that is no scores of classes and no embedding;
    None: the figures of quality say it all."""
    first = next(iter(bundles.values())).figures.quality.outputs
    plain = len(first) == 1 and first[0].meaning.kind in ("classes", "vectors")
    if not first or (plain and first[0].correlation is None):
        return None
    return Table(
        title="Does each output say the same?",
        note="The share of held-out rows (or tokens) on which it does, with its interval; its least and its "
        "largest number; of numbers R2, the share of the baseline's variance that is right; the correlation "
        "with the baseline's over the rows where a constant would pass the floor.",
        head=tuple(item.name for item in first),
        rows={
            name: [_output(item) for item in bundle.figures.quality.outputs]
            for name, bundle in bundles.items()
            if len(bundle.figures.quality.outputs) == len(first)
        },
    )


def speed(bundles: Mapping[str, Bundle]) -> Table:
    """One row, the largest batch that all were measured at, the knee, and what a session takes."""
    first = next(iter(bundles.values()))
    common = find_common_rows(bundle.figures.speed for bundle in bundles.values())
    tokens = single(first).tokens
    length = f" of {tokens} tokens" if tokens else ""
    shared = f"In {common} rows: the largest batch that all were measured in. " if common > 1 else ""
    return Table(
        title="Is it faster?",
        note="All variants in turn in one run, one thread each. Faster: the baseline's CPU time over the "
        f"variant's, with its interval; of text, at each length. {shared}The knee: each one's smallest batch "
        "in which a row costs at most a tenth more than in its cheapest. Latency: wall-clock, its "
        f"percentiles and the samples behind them, of one row{length}.",
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


def anatomy(bundles: Mapping[str, Bundle]) -> Table:
    """What the file holds, and what onnxruntime makes of it."""
    return Table(
        title="What is in it?",
        note="Multiply-adds of one row (the longest, of text). Integers: the share of the multiply-adds that "
        "they do, and of the bytes of weights that they are. Operators: as written, and as onnxruntime runs "
        "them on this machine.",
        head=_ANATOMY,
        rows={name: _anatomy(bundle) for name, bundle in bundles.items()},
    )


def curve(bundle: Bundle) -> list[list[str]]:
    """Every measured batch size: rows, tokens, samples, CPU ms, wall p50, p90 and p99 in ms, speed-up."""
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


def _quality(quality: Quality, name: str, classes: Sequence[str]) -> Cell:
    value, small = _figure(getattr(quality, name))
    if name != "worst_class" or quality.worst_label is None:
        return value, small
    return value, f"{name_class(quality.worst_label, classes)}\n{small}".rstrip()


def _figure(figure: Compared | Estimate | None) -> Cell:
    if figure is None:
        return "-", ""
    value = f"{figure.value:.4f}" if figure.value == 0 or abs(figure.value) >= 1e-3 else f"{figure.value:.1e}"
    if figure.low == figure.high:
        return value, ""
    if isinstance(figure, Compared):
        return value, f"{figure.change:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}]"
    digits = ".4f" if abs(figure.high) >= 1e-3 else ".1e"
    return value, f"[{figure.low:{digits}}, {figure.high:{digits}}]"


def _output(item: OutputFigures) -> Cell:
    value, interval = _figure(item.agreement)
    words = [interval] if interval else []
    if item.low is not None and item.high is not None:
        words.append(f"{item.low:.3g} to {item.high:.3g}")
    if item.r2 is not None:
        words.append(f"R2 {item.r2:.4f}")
    if item.correlation is not None:
        words.append(f"correlation {item.correlation.value:.4f}")
    return value, ", ".join(words)


def _at_the_knee(bundle: Bundle) -> Cell:
    if bundle.rows == "alone":
        return "-", "its rows see each other: one row a run"
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


def _anatomy(bundle: Bundle) -> list[Cell]:
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
