"""The steps of a recipe and their settings; unknown and contradictory settings are refused."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, JsonValue, model_validator

from serve.base.record import Record

ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]
# Matches dotted names, as in `named_modules`; `*` stands for any characters (see export/onnx/patterns.py).
Pattern = Annotated[str, Field(min_length=1)]
Patterns = tuple[Pattern, ...]


class Training(Record):
    """Settings of a training on the train split, which keeps the epoch that is best on the search split."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    # The initial learning rate of the schedule, after the warm-up.
    learning_rate: Positive
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    # How the learning rate falls: to 0 along half a cosine or a line, or not at all.
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    # Share of all batches during which the learning rate rises from 0.
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # Momentum of SGD.
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    # Factor of the L1 penalty, the sum of all absolute weights.
    l1: NotNegative = 0.0
    # Weight decay.
    l2: NotNegative = 0.01
    # Stop after this number of epochs without improvement on the search split; None: never.
    patience: Annotated[int, Field(ge=1)] | None = None
    # Patterns of parameters to leave unchanged.
    freeze: Patterns = ()
    # Whether the model's dropout is active.
    dropout: bool = True
    # Simulate 8-bit weights and activations, for a static quantization step that follows.
    quantize_aware: bool = False


class Finetune(Training):
    """Train on the labels."""

    step: Literal["finetune"]


class Student(Record):
    """A separate network that learns to answer like the baseline: by its factory, or, for a Hugging Face
    model, by changes to its configuration.

    Weights whose name and shape fit are copied from the baseline."""

    factory: ImportPath | None = None
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    config: dict[str, JsonValue] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.factory is None) == (self.config is None):
            raise ValueError("a student has either a `factory` (with `arguments`) or a `config`")
        return self


Match = Literal["logits", "labels", "embeddings", "similarities", "hidden", "attention"]


class Distill(Training):
    """Train to answer like the baseline. Without a student, the model is the result of the previous steps."""

    step: Literal["distill"]
    # What to match, with its weight in the loss. Only `labels` needs labels.
    match: Annotated[dict[Match, Positive], Field(min_length=1)]
    # Temperature of the softmax over the logits.
    temperature: Positive = 2.0
    student: Student | None = None


class Prune(Record):
    """Remove the least important weights: single ones, which become 0, or whole channels or heads, which are
    removed from the graph."""

    step: Literal["prune"]
    # `channels` are those of convolutions, and the neurons of linear layers.
    remove: Literal["channels", "heads", "weights", "2:4"]
    # How much to remove: a share, every weight smaller than the threshold, or until only this share of the
    # multiply-adds is left. 2:4 needs none of them.
    ratio: Part | None = None
    threshold: Positive | None = None
    multiply_adds: Part | None = None
    importance: Literal["l1", "l2", "taylor"] = "l2"
    # Whether the ratio applies within every layer or over all layers together.
    scope: Literal["layer", "global"] = "layer"
    # Number of rounds, with `recover` after each but the last.
    rounds: Annotated[int, Field(ge=1)] = 1
    recover: Training | None = None
    # Patterns of modules to prune, and of modules to leave unpruned.
    layers: Patterns = ("*",)
    keep: Patterns = ()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        allowed = {
            "channels": ("ratio", "multiply_adds"),
            "heads": ("ratio", "multiply_adds"),
            "weights": ("ratio", "threshold"),
            "2:4": (),
        }[self.remove]
        settings = [
            name for name in ("ratio", "threshold", "multiply_adds") if getattr(self, name) is not None
        ]
        if wrong := [name for name in settings if name not in allowed]:
            raise ValueError(
                f"`remove: {self.remove}` takes no {wrong[0]}; it takes {' or '.join(allowed) or 'none'}"
            )
        if allowed and len(settings) != 1:
            raise ValueError(f"`remove: {self.remove}` needs exactly one of {', '.join(allowed)}")
        if self.recover is not None and self.rounds == 1:
            raise ValueError("`recover` trains between rounds; with one round, add a finetune step instead")
        return self


class DropLayers(Record):
    """Keep only some layers of a stack of equal layers."""

    step: Literal["drop_layers"]
    keep: Annotated[int, Field(ge=1)]
    # Which layers to keep: spread evenly, including first and last; the first ones; or those whose removal
    # changes the answers most.
    choose: Literal["even", "top", "importance"] = "even"
    # The module that holds the layers; None: the longest list of equal layers.
    stack: str | None = None


class Quantize(Record):
    """Store weights as integers, and compute in integers unless the method is `weights`."""

    step: Literal["quantize"]
    # static: activation ranges from the calibration split; dynamic: from each position at run time.
    method: Literal["static", "dynamic", "weights"]
    bits: Literal[8, 4] = 8
    # static: minmax uses the whole range; error minimizes the mean squared error (for transformers that keep
    # their outliers; with `split_outliers`, minmax is as good or better); entropy minimizes the divergence,
    # and percentile leaves out the outermost values (both for convolutions).
    calibrate: Literal["minmax", "error", "entropy", "percentile"] = "minmax"
    # The percentage of the absolute values that stay inside the range.
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.999
    # One scale per output channel of a weight instead of one per tensor.
    per_channel: bool = True
    activations: Literal["uint8", "int8"] = "uint8"
    weights: Literal["int8", "uint8"] = "int8"
    # Use 7 bits for weights, for processors that would overflow: x86 without VNNI.
    reduce_range: bool = False
    # Also quantize embedding tables.
    embeddings: bool = False
    # static: scale the channels of normalized activations, which share one range, toward each other at the
    # expense of the weights: near 0 hardly, near 1 until they are equal. The float graph computes the same.
    smooth: Part | None = None
    # static: split the few neurons behind a Gelu whose values are far above the others into several smaller
    # ones.
    split_outliers: bool = False
    # Patterns of layers that stay in float, by node or weight names.
    keep_float: Patterns = ()
    # Keep further layers in float, those with the highest loss of quality per multiply-add first, until the
    # agreement (classes) or mean cosine (embeddings) with the float graph on the search split reaches this
    # value.
    faithful: Part | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.bits == 4 and self.method != "weights":
            raise ValueError("4 bits exist only for `method: weights`")
        settings = self.model_fields_set
        static_only = {"calibrate", "percentile", "activations", "smooth", "split_outliers"} & settings
        if self.method != "static" and static_only:
            raise ValueError(f"`method: {self.method}` takes no {sorted(static_only)[0]}; only static does")
        # Blocks of weights have a fixed form.
        computing = {"per_channel", "weights", "reduce_range"} & settings
        if self.method == "weights" and computing:
            raise ValueError(f"`method: weights` takes no {sorted(computing)[0]}; static and dynamic do")
        if "percentile" in settings and self.calibrate != "percentile":
            raise ValueError(
                f"`calibrate: {self.calibrate}` takes no percentile; `calibrate: percentile` does"
            )
        if self.activations == "int8" and self.weights == "uint8":
            raise ValueError("onnxruntime has no products of int8 activations and uint8 weights; swap them")
        return self


class Fuse(Record):
    """Fuse several operators into one where that is faster, above all for attention. A quantize step may
    follow."""

    step: Literal["fuse"]
    # Fused operators that the graph must contain, with their minimum number, such as {Attention: 6}.
    expect: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class Half(Record):
    """Compute in 16-bit floats, with 32-bit inputs and outputs."""

    step: Literal["half"]
    # The provider that benefits. On CPUs, onnxruntime inserts casts and is slower.
    provider: Literal["cuda", "tensorrt", "coreml", "directml"]


TorchStep = Prune | DropLayers | Finetune | Distill
GraphStep = Fuse | Quantize | Half
Step = Annotated[TorchStep | GraphStep, Field(discriminator="step")]
Steps = tuple[Step, ...]
# The kind of each step -> its settings.
STEPS: Mapping[str, type[Record]] = {
    get_args(kind.model_fields["step"].annotation)[0]: kind for kind in get_args(TorchStep | GraphStep)
}
