"""Figures: what was measured of a variant, as its bundle carries it: quality, speed, size."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from serve.base.record import Record, rename_key

Task = Literal["classification", "token_classification", "embedding", "regression"]
Form = Literal["unknown", "plain", "shares", "log_shares", "chances", "unit"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0)]
_NEARLY = 1.1


class Parity(Record):
    """How far the ONNX graph was from the torch model it came from, before any work on the graph."""

    batch_sizes: tuple[int, ...]
    max_abs_difference: Annotated[float, Field(ge=0)]


class Compared(Record):
    """A figure that labels give, and how far it is from the baseline's on the same rows."""

    value: float
    # The variant's minus the baseline's, with its paired interval; all 0 for the baseline itself.
    change: float
    low: float
    high: float


class Estimate(Record):
    """A figure that is itself a comparison with the baseline's answers, with its interval."""

    value: float
    low: float
    high: float


class ClassChange(Record):
    """One class, by its F1, before and after."""

    label: int
    rows: Count
    baseline_f1: Share
    f1: Share


class DisagreeingRow(Record):
    """A held-out row on which the variant answers other than the baseline."""

    row: Count
    # The label if there is one.
    label: int | None
    baseline: int
    variant: int


class Confusion(Record):
    """How often the variant says one class where the baseline says one, the same or another."""

    baseline: int
    variant: int
    # Held-out rows, or tokens.
    count: Count


class Meaning(Record):
    """What the numbers of one output are, as the baseline's answers to the held-out rows show it; it decides
    when two answers differ (serve/engine/compare_outputs.py)."""

    # `classes`: scores, of which the highest says the class; `vectors`: embeddings; `numbers`: each counts by
    # itself; `exact`: integers and strings.
    kind: Literal["classes", "vectors", "numbers", "exact"]
    # `shares` sum to one, `log_shares` are logarithms of such, `chances` lie in 0..1 each by itself, `unit`
    # are vectors of length 1, `plain` is none of these. `unknown`: a bundle of before there were forms.
    form: Form = "unknown"
    # Of numbers, and of scores that nobody has said to be of classes, which may be numbers, the standard
    # deviation over the rows: one for each place of the last dimension, or for all.
    spread: tuple[Annotated[float, Field(ge=0)], ...] = ()
    # Of embeddings that share most of their direction, their mean over the rows, which is taken from both
    # before they are compared; empty: they share little, or a bundle of before there was one.
    centre: tuple[float, ...] = ()


class OutputFigures(Record):
    """How one of the outputs answers the held-out rows beside the baseline's."""

    name: str
    meaning: Meaning
    # The least and the largest number in it; None: it holds none.
    low: float | None = None
    high: float | None = None
    # Share of rows (or tokens) on which it says the same as the baseline's.
    agreement: Estimate
    # Of what has a spread: 1 - mean squared difference from the baseline's over the baseline's variance.
    r2: float | None = None
    # With the baseline's, over the rows, where a constant would pass the floor; None: it would not.
    correlation: Estimate | None = None


class Quality(Record):
    """How well a variant answers the held-out rows, which it saw once. None: there is no such figure for
    this task, or no labels."""

    task: Task
    # 0: nothing was measured.
    rows: Count
    # Of every interval below; export/proof/bootstrap.py says how.
    confidence: Share = 0.95
    accuracy: Compared | None = None
    macro_f1: Compared | None = None
    # Cross-entropy per row (or token); less is better.
    loss: Compared | None = None
    # The accuracy within the class where it is lowest.
    worst_class: Compared | None = None
    # Which one that is, of the variant.
    worst_label: int | None = None
    # Share of rows (or tokens) on which all outputs say the same as the baseline's: the top class of scores
    # of classes; of other numbers nearly the same. None: embeddings have other figures.
    agreement: Estimate | None = None
    # The mean over rows of KL(baseline's distribution || the variant's), in nats.
    kl: Estimate | None = None
    # Mean over rows of the cosine between the two embeddings.
    cosine: Estimate | None = None
    # Spearman's, between the similarities of all pairs of rows.
    rank_correlation: Estimate | None = None
    classes: tuple[ClassChange, ...] = ()
    # The first few.
    disagreements: tuple[DisagreeingRow, ...] = ()
    # All pairs where few classes occur, or else the most frequent that differ.
    confusions: tuple[Confusion, ...] = ()
    # Every output, in the signature's order; empty: nothing was measured, or by an older export.
    outputs: tuple[OutputFigures, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, data: Any) -> Any:
        return rename_key(data, "kl_divergence", "kl")


class SpeedPoint(Record):
    """One batch size, measured in turn with the baseline: each sample of the one beside one of the other."""

    rows: Annotated[int, Field(ge=1)]
    # Of each row, for text; None: rows have one size.
    tokens: int | None
    samples: Annotated[int, Field(ge=1)]
    # CPU time of a run over all rows, and its wall-clock percentiles; None: too few samples for it.
    cpu_p50_ms: Milliseconds
    wall_p50_ms: Milliseconds
    wall_p90_ms: Milliseconds | None
    wall_p99_ms: Milliseconds | None
    # The baseline's CPU time over this one's: above 1 is faster; with the interval of the median ratio.
    speedup: Estimate


class Speed(Record):
    """What a variant costs on the machine that exported it (provenance.cpu)."""

    threads: Annotated[int, Field(ge=1)]
    # Resident memory that loading a session added.
    session_bytes: Count
    points: tuple[SpeedPoint, ...]
    # More rows than this in a batch no longer make a row cheaper.
    knee_rows: Annotated[int, Field(ge=1)]
    # Set when the variant is nowhere faster than the baseline, or slower somewhere: in words and numbers.
    warning: str | None

    def full_rows(self, call_ms: float) -> int:
        """The knee where every run costs `call_ms` of CPU time besides: the smallest measured batch whose
        rows cost at most a tenth more than the cheapest. Of several lengths, the largest such batch; the knee
        where nothing was measured."""
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
    """Shares of a float graph that became integers."""

    # Of the bytes of all weights, and of the multiply-adds of one row.
    weight_bytes: Share
    multiply_adds: Share


def find_common_rows(speeds: Iterable[Speed]) -> int:
    """The largest batch at which all of these were measured, at all lengths; 1: there is none beyond one row.
    What was not measured at all does not count."""
    sizes = [
        {point.rows for point in speed.points if point.tokens == tokens}
        for speed in speeds
        for tokens in {point.tokens for point in speed.points}
    ]
    return max(set.intersection(*sizes), default=1) if sizes else 1


class Figures(Record):
    """What was measured, through production's own Session."""

    # Weights, integers that stand for floats included, and those of them that are not zero.
    parameters: Count
    nonzero_parameters: Count
    # For one row (of the longest held-out row's tokens, for text).
    multiply_adds: Count
    model_size_bytes: Count
    # The same, by gzip.
    compressed_size_bytes: Count
    # Operator -> how often it stands in the graph as it is written.
    operators: dict[str, int]
    # And in the graph as onnxruntime runs it on this machine.
    operators_loaded: dict[str, int]
    # None: the model came as a graph.
    parity: Parity | None
    quality: Quality
    speed: Speed
    # What each step did, in the recipe's order: layers kept, channels removed, sensitivity, ...
    steps: tuple[dict[str, JsonValue], ...]

    @property
    def integers(self) -> Integers | None:
        """How much of the float graph the last quantization made integers; None: there was none, or it was
        before this was counted."""
        shares = self._quantized.get("integers")
        return Integers.model_validate(shares) if shares else None

    @property
    def mostly_float(self) -> str | None:
        """How little of a quantized variant became integers; None: enough, or it is not quantized."""
        words = self._quantized.get("mostly_float")
        return f"mostly float: {words}" if words else None

    @property
    def _quantized(self) -> Mapping[str, JsonValue]:
        return next((step for step in reversed(self.steps) if step.get("step") == "quantize"), {})
