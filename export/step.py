"""Step: what a recipe can do to a model, each with its settings; unknown or senseless ones are refused."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from serve.base.record import Record

ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]
# Of names with dots, as in `named_modules`: `*` stands for any characters (see export/onnx/patterns.py).
Pattern = Annotated[str, Field(min_length=1)]
Patterns = tuple[Pattern, ...]


class Training(Record):
    """How weights are trained: on the train split; the epoch that the search split likes best is kept."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    # Where the schedule starts, after the warm-up.
    learning_rate: Positive
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    # Down to 0 at the end, along half a cosine or a line; or not at all.
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    # The share of all batches in which the learning rate rises from 0.
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # Of SGD.
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    # Added to the loss: this times the sum of all absolute weights.
    l1: NotNegative = 0.0
    # Weight decay.
    l2: NotNegative = 0.01
    # Stop after so many epochs without a better search split; None: never.
    patience: Annotated[int, Field(ge=1)] | None = None
    # Parameters that stay as they are.
    freeze: Patterns = ()
    # As the model has it; False: nothing is dropped.
    dropout: bool = True
    # Train as if weights and activations were 8-bit integers, for a static quantization that follows.
    quantize_aware: bool = False


class Finetune(Training):
    """Train on the labels."""

    step: Literal["finetune"]


class Student(Record):
    """Another network that is to answer like the baseline: by its factory, or, where the model comes from
    Hugging Face, by what changes in its configuration. Weights whose name and shape fit are taken over."""

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
    """Train to answer like the baseline. Without a student it is the model as the steps before left it."""

    step: Literal["distill"]
    # What is matched, and its weight in the loss. Only `labels` needs labels.
    match: Annotated[dict[Match, Positive], Field(min_length=1)]
    # Of the logits.
    temperature: Positive = 2.0
    student: Student | None = None


class Prune(Record):
    """Remove the least important weights: single ones, which become 0, or whole channels or heads, which
    leave the graph."""

    step: Literal["prune"]
    # `channels` are those of convolutions and the neurons of linear layers.
    remove: Literal["channels", "heads", "weights", "2:4"]
    # How much goes: a share, or every weight smaller than the threshold, or as much as it takes until only
    # this share of the multiply-adds is left. 2:4 needs none of them.
    ratio: Part | None = None
    threshold: Positive | None = None
    multiply_adds: Part | None = None
    importance: Literal["l1", "l2", "taylor"] = "l2"
    # The ratio holds within every layer, or over all of them together.
    scope: Literal["layer", "global"] = "layer"
    # In so many rounds, with `recover` after each but the last.
    rounds: Annotated[int, Field(ge=1)] = 1
    recover: Training | None = None
    # Modules to prune, and of these the ones to keep whole.
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
        given = [name for name in ("ratio", "threshold", "multiply_adds") if getattr(self, name) is not None]
        if wrong := [name for name in given if name not in allowed]:
            raise ValueError(
                f"`remove: {self.remove}` takes no {wrong[0]}; it takes {' or '.join(allowed) or 'none'}"
            )
        if allowed and len(given) != 1:
            raise ValueError(f"`remove: {self.remove}` needs exactly one of {', '.join(allowed)}")
        if self.recover is not None and self.rounds == 1:
            raise ValueError("`recover` trains between rounds; with one round, add a finetune step instead")
        return self


class DropLayers(Record):
    """Keep only some of a stack of equal layers."""

    step: Literal["drop_layers"]
    keep: Annotated[int, Field(ge=1)]
    # Spread evenly, first and last included; the first ones; or those without which the answers change most.
    choose: Literal["even", "top", "importance"] = "even"
    # The module that holds them; None: the longest list of equal layers.
    stack: str | None = None


class Quantize(Record):
    """Store weights as integers; compute with integers too, unless the method is `weights`."""

    step: Literal["quantize"]
    # static: ranges of activations from the calibration split; dynamic: of each position as it comes.
    method: Literal["static", "dynamic", "weights"]
    bits: Literal[8, 4] = 8
    # static: the whole range; the one that moves the values least, mean squared (for transformers whose
    # outliers stay; next to `split_outliers` minmax is as good or better); the one with the least divergence,
    # or all but the outermost (for convolutions).
    calibrate: Literal["minmax", "error", "entropy", "percentile"] = "minmax"
    # Of the absolute values, how many in a hundred stay inside the range.
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.999
    # One scale per output channel of a weight instead of one for all of it.
    per_channel: bool = True
    activations: Literal["uint8", "int8"] = "uint8"
    weights: Literal["int8", "uint8"] = "int8"
    # 7 bits of the weights, for processors that would overflow: x86 without VNNI.
    reduce_range: bool = False
    # Tables of embeddings too.
    embeddings: bool = False
    # static: bring the channels of normalized activations, which one range has to hold, closer together, at
    # the weights' expense: near 0 hardly at all, near 1 until they are alike. The float graph stays the same.
    smooth: Part | None = None
    # static: the few neurons behind a Gelu that reach far above all others become several smaller ones.
    split_outliers: bool = False
    # Layers that stay in float: patterns of node or weight names.
    keep_float: Patterns = ()
    # Leave further layers in float, those first that cost most quality per millisecond saved, until the
    # search split's agreement (classes) or mean cosine (embeddings) with the float graph reaches this.
    faithful: Part | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.bits == 4 and self.method != "weights":
            raise ValueError("4 bits exist only for `method: weights`")
        given = self.model_fields_set
        static_only = {"calibrate", "percentile", "activations", "smooth", "split_outliers"} & given
        if self.method != "static" and static_only:
            raise ValueError(f"`method: {self.method}` takes no {sorted(static_only)[0]}; only static does")
        # Its blocks of weights have one form.
        computing = {"per_channel", "weights", "reduce_range"} & given
        if self.method == "weights" and computing:
            raise ValueError(f"`method: weights` takes no {sorted(computing)[0]}; static and dynamic do")
        if "percentile" in given and self.calibrate != "percentile":
            raise ValueError(
                f"`calibrate: {self.calibrate}` takes no percentile; `calibrate: percentile` does"
            )
        if self.activations == "int8" and self.weights == "uint8":
            raise ValueError("onnxruntime has no products of int8 activations and uint8 weights; swap them")
        return self


class Fuse(Record):
    """Several operators in one, where that is faster: attention above all. Quantize can follow."""

    step: Literal["fuse"]
    # Operators that must be there afterwards, and at least how many, such as {Attention: 6}.
    expect: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class Half(Record):
    """16-bit floats inside, 32-bit ones on the wire."""

    step: Literal["half"]
    # Who gains from it. On processors onnxruntime casts to and fro, and is slower.
    provider: Literal["cuda", "tensorrt", "coreml", "directml"]


TorchStep = Prune | DropLayers | Finetune | Distill
GraphStep = Fuse | Quantize | Half
Step = Annotated[TorchStep | GraphStep, Field(discriminator="step")]
Steps = tuple[Step, ...]
