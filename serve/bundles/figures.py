"""The measurements of a variant that its bundle contains: quality, speed and size."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from serve.base.record import Record, rename_key
from serve.bundles.meaning import Meaning, Task

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Better = Literal["higher", "lower"]
Milliseconds = Annotated[float, Field(ge=0)]
_NEARLY = 1.1


class Parity(Record):
    """The difference between the exported ONNX graph and the torch model, before any change to the graph."""

    batch_sizes: tuple[int, ...]
    max_abs_difference: Annotated[float, Field(ge=0)]


class Compared(Record):
    """A figure that is computed from labels, and its change from the baseline on the same rows."""

    value: float
    # The variant's value minus the baseline's, with its paired interval; all 0 for the baseline itself.
    change: float
    low: float
    high: float


class MetricFigure(Compared):
    """A figure that a function of the user computes."""

    # "module:function".
    function: str
    better: Better
    # How often it was computed on drawn rows for its interval; None: it is the mean of one value per row.
    draws: Count | None


class Estimate(Record):
    """A figure that compares the variant with the baseline's answers, with its interval."""

    value: float
    low: float
    high: float


class Explained(Record):
    """From what the figures of the explanations were computed."""

    # Held-out rows that were explained.
    rows: Annotated[int, Field(ge=1)]
    # The most features that a row has, and the number of the most important ones that are compared in it.
    features: Annotated[int, Field(ge=1)]
    top: Annotated[int, Field(ge=1)]
    # The A/A floor: what the baseline's explanations have in common when its features are replaced by the
    # means of one or the other half of the calibration rows.
    floor_overlap: float
    floor_rank: float


class ClassChange(Record):
    """The F1 of one class, for the baseline and the variant."""

    label: int
    rows: Count
    baseline_f1: Share
    f1: Share


class DisagreeingRow(Record):
    """A held-out row for which the variant's answer differs from the baseline's."""

    row: Count
    # None if the rows have no labels.
    label: int | None
    baseline: int
    variant: int


class Confusion(Record):
    """How often the baseline answers with one class and the variant with another (or the same)."""

    baseline: int
    variant: int
    # Held-out rows, or tokens.
    count: Count


class OutputFigures(Record):
    """How one output answers the held-out rows, compared with the baseline."""

    name: str
    meaning: Meaning
    # The smallest and the largest number; None: it has no numbers.
    low: float | None = None
    high: float | None = None
    # Share of rows (or tokens) on which it agrees with the baseline.
    agreement: Estimate
    # For outputs with a spread: 1 - mean squared difference from the baseline / the baseline's variance.
    r2: float | None = None
    # The lower end of its interval, over the rows. None: there is no R2, or the export is older.
    r2_low: float | None = None
    # With the baseline's numbers, over the rows. Set only if a constant would pass the floor.
    correlation: Estimate | None = None


class Quality(Record):
    """The quality of a variant on the held-out rows, which are used only here. None: the figure does not
    exist for this task, or there are no labels."""

    task: Task
    # 0: nothing was measured.
    rows: Count
    # The confidence of every interval below; see export/proof/bootstrap.py.
    confidence: Share = 0.95
    accuracy: Compared | None = None
    # Of the rows with the label, for a binary model; over all labels of all rows; the mean over the classes
    # or labels.
    f1: Compared | None = None
    micro_f1: Compared | None = None
    macro_f1: Compared | None = None
    # The area under the ROC curve; the mean over the labels.
    auc: Compared | None = None
    # The mean absolute error, the root of the mean squared error, and R2 against the labels: the mean over
    # the columns of an output [batch, columns], or over all numbers.
    mae: Compared | None = None
    rmse: Compared | None = None
    r2: Compared | None = None
    # The intersection over the union of answers and labels, the mean over the classes that have labels.
    miou: Compared | None = None
    # The mean over the classes of the average precision of detections, at overlaps from 0.5 to 0.95 and at
    # 0.5; the share of the labelled boxes that have a detection at 0.5.
    map: Compared | None = None
    map50: Compared | None = None
    recall: Compared | None = None
    # The mean over the queries of NDCG of the highest scores, and of 1 / the place of the first relevant
    # item.
    ndcg: Compared | None = None
    mrr: Compared | None = None
    # Cross-entropy per row (or token); lower is better.
    loss: Compared | None = None
    # The recipe's own metric.
    metric: MetricFigure | None = None
    # The lowest accuracy within one class.
    worst_class: Compared | None = None
    # The label of that class, for the variant.
    worst_label: int | None = None
    # Share of rows (or tokens) on which all outputs agree with the baseline: the same top class, or nearly
    # the same numbers. None: embeddings have other figures.
    agreement: Estimate | None = None
    # Mean over rows of KL(baseline's distribution || variant's), in nats.
    kl: Estimate | None = None
    # Mean over rows of the cosine between the two embeddings.
    cosine: Estimate | None = None
    # Spearman's rank correlation between the similarities of all pairs of rows.
    rank_correlation: Estimate | None = None
    # Share of the rows whose nearest other row, by the cosine, is the baseline's. None: the export is older.
    neighbours: Estimate | None = None
    # Mean over rows of the share of the most important features that are the baseline's, and of Spearman's
    # correlation of the effects of all features, less the A/A floor. None: nothing asked for them.
    explanation_overlap: Estimate | None = None
    explanation_rank: Estimate | None = None
    explained: Explained | None = None
    classes: tuple[ClassChange, ...] = ()
    # The first few rows that disagree.
    disagreements: tuple[DisagreeingRow, ...] = ()
    # All pairs if there are few classes, or else the most frequent pairs that differ.
    confusions: tuple[Confusion, ...] = ()
    # The figures of the task that the held-out labels do not give, and why.
    undefined: Mapping[str, str] = {}
    # Every output, in the signature's order; empty: nothing was measured, or the export is older.
    outputs: tuple[OutputFigures, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, data: Any) -> Any:
        return rename_key(data, "kl_divergence", "kl")


class SpeedPoint(Record):
    """One batch size, measured in alternation with the baseline."""

    rows: Annotated[int, Field(ge=1)]
    # The tokens of each row, for text; None: rows have a fixed size.
    tokens: int | None
    samples: Annotated[int, Field(ge=1)]
    # CPU time of a run over all rows, and its wall-clock percentiles; None: too few samples.
    cpu_p50_ms: Milliseconds
    wall_p50_ms: Milliseconds
    wall_p90_ms: Milliseconds | None
    wall_p99_ms: Milliseconds | None
    # The baseline's CPU time divided by this variant's (above 1 is faster), with the interval of the median.
    speedup: Estimate


class Speed(Record):
    """The cost of a variant on the machine that exported it (provenance.cpu)."""

    threads: Annotated[int, Field(ge=1)]
    # Resident memory that one session needs.
    session_bytes: Count
    points: tuple[SpeedPoint, ...]
    # Beyond this many rows, a larger batch does not reduce the cost per row.
    knee_rows: Annotated[int, Field(ge=1)]
    # Set if the variant is nowhere faster than the baseline, or slower somewhere.
    warning: str | None

    def full_rows(self, call_ms: float) -> int:
        """The knee if every run costs an additional `call_ms` of CPU time: the smallest measured batch whose
        cost per row is at most a tenth above the lowest. For several lengths of text, the largest of these
        batches; `knee_rows` if nothing was measured."""
        knees = []
        for tokens in {point.tokens for point in self.points}:
            costs = {
                point.rows: (call_ms + point.cpu_p50_ms) / point.rows
                for point in self.points
                if point.tokens == tokens
            }
            knees.append(min(rows for rows, cost in costs.items() if cost <= _NEARLY * min(costs.values())))
        return max(knees, default=self.knee_rows)


class Integers(Record):
    """How much of a float graph was converted to integers."""

    # Share of the bytes of all weights, and of the multiply-adds of one row.
    weight_bytes: Share
    multiply_adds: Share


def find_common_rows(speeds: Iterable[Speed]) -> int:
    """The largest batch size at which all of these were measured, at all lengths; 1 if there is none above
    one row. Entries without measurements are ignored."""
    sizes = [
        {point.rows for point in speed.points if point.tokens == tokens}
        for speed in speeds
        for tokens in {point.tokens for point in speed.points}
    ]
    return max(set.intersection(*sizes), default=1) if sizes else 1


class Figures(Record):
    """The measurements of a variant, made with the same Session as in production."""

    # The number of weights, including integers that replace floats, and how many of them are not zero.
    parameters: Count
    nonzero_parameters: Count
    # For one row (for text, with the tokens of the longest held-out row).
    multiply_adds: Count
    model_size_bytes: Count
    # The size after gzip.
    compressed_size_bytes: Count
    # Operator -> its number of nodes in the stored graph.
    operators: dict[str, int]
    # The same in the graph as onnxruntime optimizes it on this machine.
    operators_loaded: dict[str, int]
    # None if the model was imported as a graph.
    parity: Parity | None
    quality: Quality
    speed: Speed
    # What each step did, in the order of the recipe: layers kept, channels removed, sensitivity, ...
    steps: tuple[dict[str, JsonValue], ...]

    @property
    def integers(self) -> Integers | None:
        """How much of the float graph the last quantization converted; None: there was none, or the bundle is
        older than this figure."""
        shares = self._quantized.get("integers")
        return Integers.model_validate(shares) if shares else None

    @property
    def mostly_float(self) -> str | None:
        """A warning if little of a quantized variant is integer; None if enough is, or it is not
        quantized."""
        words = self._quantized.get("mostly_float")
        return f"mostly float: {words}" if words else None

    @property
    def _quantized(self) -> Mapping[str, JsonValue]:
        return next((step for step in reversed(self.steps) if step.get("step") == "quantize"), {})
