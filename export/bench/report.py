"""The report of the benchmark: measurements, targets, and points of other tools."""

from typing import Literal

from tabulate import tabulate

from serve.base.record import Record
from serve.bundles.bundle import Cpu
from serve.bundles.figures import Compared


class TextPoint(Record):
    """A graph of minilm: its speed at each shape, and how close it is to fp32 on the held-out texts."""

    name: str
    # The tool that made it; None for ours.
    tool: str | None
    size_bytes: int
    # CPU time of fp32 divided by this one's, for each of SHAPES; above 1 is faster.
    speedups: tuple[float, ...]
    cosine: float
    rank_correlation: float
    # Share of held-out texts whose nearest neighbour is the same.
    neighbour: float


class ImagePoint(Record):
    """A variant of digits-resnet: its speed at each batch size, and its accuracy on the held-out images."""

    name: str
    size_bytes: int
    # For each of BATCHES.
    speedups: tuple[float, ...]
    accuracy: Compared


class Peak(Record):
    """Memory of a calibration for static quantization in its own process."""

    calibrate: str
    rows: int
    # Resident memory before the calibration, and its peak.
    before_bytes: int
    peak_bytes: int


class BenchTarget(Record):
    """A target and its result."""

    asked: str
    got: str
    met: bool


class Rival(Record):
    """A point of another tool, and our variants that are nowhere slower and nowhere less faithful."""

    name: str
    covered_by: tuple[str, ...]


class CompressionReport(Record):
    """The JSON that --json writes, schema version 1."""

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
    """Render the report as tables."""
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
    """Format an accuracy, such as "0.9933, -0.0022 (-0.0067 to 0.0000)"."""
    return f"{accuracy.value:.4f}, {accuracy.change:+.4f} ({accuracy.low:+.4f} to {accuracy.high:+.4f})"


def _table(rows: list[list[object]] | list[list[str]], headers: list[str]) -> str:
    return str(tabulate(rows, headers, disable_numparse=True))


def _times(value: float) -> str:
    return f"{value:.2f}x"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}"
