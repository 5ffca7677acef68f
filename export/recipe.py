"""Recipe: what a person writes: which model, which data, which variants to make, and the quality floor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from export.order import refuse_order
from export.step import ImportPath, NotNegative, Positive, Share, Steps
from serve.base.record import Record, rename_key
from serve.base.yaml_file import read_yaml
from serve.bundles.bundle import Name
from serve.bundles.figures import Task

Relative = Annotated[str, Field(min_length=1)]
OutputName = Annotated[str, Field(min_length=1)]


class Beside(Record):
    """Files that stand beside a model and say what goes in and what comes out; relative to the recipe's
    folder."""

    # A tokenizer.json. The data is then text, and the model takes input_ids and attention_mask.
    tokenizer: Relative | None = None
    # Longer texts are cut.
    max_tokens: Annotated[int, Field(ge=2)] = 128
    # The names of the classes in the order of the scores: a JSON list, or one name a line.
    labels: Relative | None = None

    @model_validator(mode="after")
    def _useful(self) -> Self:
        if self.tokenizer is None and "max_tokens" in self.model_fields_set:
            raise ValueError("`max_tokens` cuts texts, and without `tokenizer` there are none; add that")
        return self


class FactorySource(Beside):
    """Code that builds the model, and the weights that go into it."""

    # "package.module:function"; the function returns the torch module that the checkpoint fits.
    factory: ImportPath
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    # Relative to the recipe's folder: .safetensors, or a state_dict in .pt, .pth or .bin.
    checkpoint: Relative


class HuggingFaceSource(Record):
    """A transformer as transformers saves it, its tokenizer with it."""

    # A folder, relative to the recipe's, or else the id of a model on the hub.
    huggingface: Relative
    # Of the hub; never a moving one by accident.
    revision: str | None = None
    # Longer texts are cut.
    max_tokens: Annotated[int, Field(ge=2)] = 128


class ProgramSource(Record):
    """A program that torch.export.save wrote."""

    # Relative to the recipe's folder: .pt2.
    program: Relative


class OnnxSource(Beside):
    """An ONNX file: the way in for TensorFlow, scikit-learn and others."""

    # Relative to the recipe's folder.
    onnx: Relative


_SOURCES = {
    "factory": FactorySource,
    "huggingface": HuggingFaceSource,
    "program": ProgramSource,
    "onnx": OnnxSource,
}


def _kind(source: Any) -> str | None:
    """Which source it is: the one whose first key is there."""
    for key, kind in _SOURCES.items():
        if isinstance(source, kind) or (isinstance(source, Mapping) and key in source):
            return key
    return None


Source = Annotated[
    Annotated[FactorySource, Tag("factory")]
    | Annotated[HuggingFaceSource, Tag("huggingface")]
    | Annotated[ProgramSource, Tag("program")]
    | Annotated[OnnxSource, Tag("onnx")],
    Discriminator(
        _kind,
        custom_error_type="source",
        custom_error_message="a source has one of the keys factory, huggingface, program, onnx",
    ),
]


# Names, or each with the file's own.
Outputs = Annotated[
    Annotated[tuple[OutputName, ...], Field(min_length=1), Tag("list")]
    | Annotated[dict[OutputName, OutputName], Field(min_length=1), Tag("mapping")],
    Discriminator(lambda outputs: "mapping" if isinstance(outputs, Mapping) else "list"),
]


class DataSource(Record):
    """The code that returns the splits; see export/data/datasets.py for what it returns."""

    factory: ImportPath
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class Floor(Record):
    """What a variant may lose on the held-out split before it is written as rejected. Each is judged on the
    worse end of its interval (export/proof/bootstrap.py says how sure that is)."""

    # How far below the baseline's figure a variant's may be, 0 to 1. These need labels.
    accuracy_drop: Share | None = None
    macro_f1_drop: Share | None = None
    worst_class_drop: Share | None = None
    # The least share of held-out rows on which the top class is the baseline's.
    agreement: Share | None = None
    # The mean KL divergence from the baseline's distribution may be at most this, in nats.
    kl: NotNegative | None = None
    # At least so close to the baseline's embeddings.
    cosine: Share | None = None
    rank_correlation: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, data: Any) -> Any:
        return rename_key(data, "kl_divergence", "kl")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(
                f"a floor without a limit rejects nothing; give one of {', '.join(Floor.model_fields)}"
            )
        return self


class Recipe(Record):
    """One model and all the variants to make of it."""

    model: Name
    # What the first output is: scores per class, scores per token and class, an embedding, or numbers of any
    # shape, each of which counts by itself.
    task: Task = "classification"
    # Decides every random draw: order of batches, dropout.
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    # torch's; more are faster, and a result depends on their number.
    threads: Annotated[int, Field(ge=1)] = 1
    # How long the model's factory, and the data's, may take.
    time_limit_s: Positive = 600.0
    source: Source
    data: DataSource
    # The names of the model's outputs on the wire, in the order in which the model returns them. Of an ONNX
    # file those that are wanted, in any order; or {name on the wire: name in the file}.
    outputs: Outputs
    # torch writes 18 to 23; below 18 it may silently stay at 18.
    opset: Annotated[int, Field(ge=18, le=23)] = 20
    floor: Floor
    variants: Annotated[dict[Name, Steps], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for names in (list(self.outputs), list(self.named_outputs.values())):
            if len(set(names)) < len(names):
                raise ValueError(f"outputs {names} repeat a name; each output needs its own")
        if isinstance(self.outputs, Mapping) and not isinstance(self.source, OnnxSource):
            raise ValueError(
                f"outputs {dict(self.outputs)} rename those of an ONNX file; what torch returns has an order "
                f"and no names: write {list(self.outputs)}"
            )
        if self.task == "regression" and isinstance(self.source, HuggingFaceSource):
            raise ValueError(
                "the task regression has no head among those of transformers that are known here; give the "
                "model as a `factory`, whose `forward` returns the numbers alone"
            )
        plain = [name for name, steps in self.variants.items() if not steps]
        if len(plain) != 1:
            raise ValueError(
                f"variants without steps: {', '.join(plain) or 'none'}; "
                "exactly one is needed: it is the baseline, such as fp32: []"
            )
        for variant, steps in self.variants.items():
            if reason := refuse_order(
                steps,
                torch_model=not isinstance(self.source, OnnxSource),
                changeable=isinstance(self.source, FactorySource | HuggingFaceSource),
            ):
                raise ValueError(f"variants.{variant}: {reason}")
        return self

    @property
    def named_outputs(self) -> dict[str, str]:
        """Name on the wire -> name in the file, in the order of the wire."""
        if isinstance(self.outputs, Mapping):
            return dict(self.outputs)
        return {name: name for name in self.outputs}

    @property
    def baseline(self) -> str:
        """The variant that all others are weighed against: the one without steps."""
        return next(name for name, steps in self.variants.items() if not steps)


def load_recipe(path: Path) -> Recipe:
    """The recipe in the YAML file `path`. Raises InvalidRecord, which names the place of every fault."""
    data = read_yaml(path, "a recipe, such as export/recipes/digits.yaml")
    return Recipe.parse(data, str(path))
