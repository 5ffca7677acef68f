"""Report: what the bench measured, what of it was asked for, and where other tools stand."""

from typing import Literal

from tabulate import tabulate

from serve.base.record import Record
from serve.bundles.bundle import Cpu
from serve.bundles.figures import Compared


class TextPoint(Record):
    """A graph of minilm: how fast at each shape, how faithful to fp32 on the held-out texts."""

    name: str
    # None: ours; else the tool that made it.
    tool: str | None
    size_bytes: int
    # CPU time of fp32 over this one's, for each of SHAPES; above 1 is faster.
    speedups: tuple[float, ...]
    cosine: float
    rank_correlation: float
    # Share of held-out texts whose nearest neighbour is the same.
    neighbour: float


class ImagePoint(Record):
    """A variant of digits-resnet: how fast at each batch size, how right on the held-out images."""

    name: str
    size_bytes: int
    # For each of BATCHES.
    speedups: tuple[float, ...]
    accuracy: Compared


class Peak(Record):
    """What calibrating for static quantization took, in a process of its own."""

    calibrate: str
    rows: int
    # Resident memory when calibration began, and the most there was.
    before_bytes: int
    peak_bytes: int


class BenchTarget(Record):
    """What was asked for, and what came."""

    asked: str
    got: str
    met: bool


class Rival(Record):
    """A point that another tool reaches, and the variants of ours that are nowhere slower and nowhere less
    faithful."""

    name: str
    covered_by: tuple[str, ...]


class CompressionReport(Record):
    """What --json writes, schema version 1."""

    schema_version: Literal[1] = 1
    cpu: Cpu
    versions: dict[str, str]
    # (texts, tokens) of minilm's speed-ups, and rows of digits-resnet's.
    shapes: tuple[tuple[int, int], ...]
    batches: tuple[int, ...]
    minilm: tuple[TextPoint, ...]
    digits_resnet: tuple[ImagePoint, ...]
    calibration: tuple[Peak, ...]
    front: tuple[Rival, ...]
    targets: tuple[BenchTarget, ...]


def show(report: CompressionReport) -> str:
    """The report as tables."""
    texts = [
        [point.name, point.tool or "ours", _mebibytes(point.size_bytes), *map(_times, point.speedups)]
        + [f"{value:.4f}" for value in (point.cosine, point.rank_correlation)]
        + [f"{point.neighbour:.2f}"]
        for point in report.minilm
    ]
    images = [
        [point.name, _mebibytes(point.size_bytes), *map(_times, point.speedups), describe(point.accuracy)]
        for point in report.digits_resnet
    ]
    peaks = [
        [peak.calibrate, peak.rows, _mebibytes(peak.before_bytes), _mebibytes(peak.peak_bytes)]
        for peak in report.calibration
    ]
    shapes = [f"{rows}x{tokens}" for rows, tokens in report.shapes]
    rivals = [[rival.name, ", ".join(rival.covered_by) or "none of ours"] for rival in report.front]
    targets = [[target.asked, target.got, "met" if target.met else "MISSED"] for target in report.targets]
    measures = ["cosine", "rank corr.", "neighbour"]
    return "\n\n".join(
        (
            _table(texts, ["minilm", "by", "MiB", *shapes, *measures]),
            _table(images, ["digits-resnet", "MiB", *map(str, report.batches), "accuracy"]),
            _table(peaks, ["static calibration", "rows", "MiB before", "MiB at most"]),
            _table(rivals, ["a rival's point", "as fast and as faithful"]),
            _table(targets, ["asked", "got", ""]),
        )
    )


def describe(accuracy: Compared) -> str:
    """Such as "0.9933, -0.0022 (-0.0067 to 0.0000)"."""
    return f"{accuracy.value:.4f}, {accuracy.change:+.4f} ({accuracy.low:+.4f} to {accuracy.high:+.4f})"


def _table(rows: list[list[object]] | list[list[str]], headers: list[str]) -> str:
    return str(tabulate(rows, headers, disable_numparse=True))


def _times(value: float) -> str:
    return f"{value:.2f}x"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}"
