"""The recipe: the model, the data, the variants to make, and the quality floor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from export.data_source import DataSource
from export.quality_limits import Floor, Metric
from export.search.search_request import Search
from export.step import ImportPath, Positive, Steps
from export.step_order import refuse_order, refuse_training
from serve.base.record import Record, nearest
from serve.base.yaml_file import read_yaml
from serve.bundles.bundle import Name
from serve.bundles.meaning import Rule, Task
from serve.tasks.task_table import TASKS

Relative = Annotated[str, Field(min_length=1)]
OutputName = Annotated[str, Field(min_length=1)]


class Beside(Record):
    """Files for the inputs and outputs of a model, relative to the recipe's folder."""

    # A tokenizer.json. With it, the data is text and the model takes input_ids and attention_mask.
    tokenizer: Relative | None = None
    # Longer texts are truncated.
    max_tokens: Annotated[int, Field(ge=2)] = 128
    # The class names in the order of the scores: a JSON list, or one name per line.
    labels: Relative | None = None

    @model_validator(mode="after")
    def _useful(self) -> Self:
        if self.tokenizer is None and "max_tokens" in self.model_fields_set:
            raise ValueError("`max_tokens` needs a `tokenizer`; add one")
        return self


class FactorySource(Beside):
    """A function that builds the model, and a checkpoint with its weights."""

    # "package.module:function", which returns the torch module of the checkpoint.
    factory: ImportPath
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    # Relative to the recipe's folder: .safetensors, or a state_dict in .pt, .pth or .bin.
    checkpoint: Relative


class HuggingFaceSource(Record):
    """A transformer as saved by transformers, with its tokenizer."""

    # A folder relative to the recipe's, or the id of a model on the hub.
    huggingface: Relative
    # The revision on the hub, which must be explicit so that it cannot move.
    revision: str | None = None
    # Longer texts are truncated.
    max_tokens: Annotated[int, Field(ge=2)] = 128


class ProgramSource(Record):
    """A program written by torch.export.save."""

    # Relative to the recipe's folder: .pt2.
    program: Relative


class OnnxSource(Beside):
    """An ONNX file, for models of TensorFlow, scikit-learn and others."""

    # Relative to the recipe's folder.
    onnx: Relative
    # Adds the output `sentence_embedding`: the mean of the vectors of a text's tokens, without the padding,
    # or the first token's (`cls`). None: there are only the file's outputs.
    pooling: Literal["mean", "cls"] | None = None
    # Whether that embedding is scaled to length 1.
    normalize: bool = True

    @model_validator(mode="after")
    def _pooled(self) -> Self:
        if self.pooling is None and "normalize" in self.model_fields_set:
            raise ValueError("`normalize` needs a `pooling`, mean or cls; add one")
        return self


# The tasks that a head of transformers answers.
_TRANSFORMERS: tuple[Task, ...] = ("classification", "token_classification", "embedding")
_SOURCES = {
    "factory": FactorySource,
    "huggingface": HuggingFaceSource,
    "program": ProgramSource,
    "onnx": OnnxSource,
}


def _kind(source: Any) -> str | None:
    """Return the kind of source, by the first key."""
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
        custom_error_message="a source must have one of the keys factory, huggingface, program, onnx",
    ),
]


# A list of names, or a mapping from names to the file's names.
Outputs = Annotated[
    Annotated[tuple[OutputName, ...], Field(min_length=1), Tag("list")]
    | Annotated[dict[OutputName, OutputName], Field(min_length=1), Tag("mapping")],
    Discriminator(lambda outputs: "mapping" if isinstance(outputs, Mapping) else "list"),
]


class Recipe(Record):
    """One model and its variants."""

    model: Name
    # The kind of the first output: scores per class, scores per token and class, an embedding, or numbers of
    # any shape.
    task: Task = "classification"
    # Seeds every random draw, such as the order of batches and dropout.
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    # torch's threads; more are faster, but the results depend on their number.
    threads: Annotated[int, Field(ge=1)] = 1
    # Time limit for the model's and the data's factory.
    time_limit_s: Positive = 600.0
    source: Source
    data: DataSource
    # Output names for clients, in the order in which the model returns the outputs. For an ONNX file: the
    # wanted outputs in any order, or {name for clients: name in the file}.
    outputs: Outputs
    # How the answers of an output are compared, by its name, instead of as the task and its numbers say.
    rules: dict[OutputName, Rule] = Field(default_factory=dict)
    # torch writes 18 to 23; below 18 it may silently stay at 18.
    opset: Annotated[int, Field(ge=18, le=23)] = 20
    # A function of the user that rates the answers, measured on the held-out rows beside the task's figures.
    metric: Metric | None = None
    # Whether explanations are compared with the baseline's; they are in any case if the floor limits them.
    explanations: bool = False
    floor: Floor
    # How `counterweight search` looks for more variants.
    search: Search | None = None
    variants: Annotated[dict[Name, Steps], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for names in (list(self.outputs), list(self.named_outputs.values())):
            if len(set(names)) < len(names):
                raise ValueError(f"outputs {names} repeat a name; each output needs its own")
        if isinstance(self.outputs, Mapping) and not isinstance(self.source, OnnxSource):
            raise ValueError(
                f"outputs {dict(self.outputs)} can rename only those of an ONNX file; torch's outputs have "
                f"an order but no names: write {list(self.outputs)}"
            )
        if self.task not in _TRANSFORMERS and isinstance(self.source, HuggingFaceSource):
            raise ValueError(
                f"the task {self.task} does not support a `huggingface` source; give the "
                "model as a `factory` whose `forward` returns only the numbers"
            )
        if self.floor.metric_drop is not None and self.metric is None:
            raise ValueError(
                "the floor limits metric_drop, and the recipe has no `metric`; name a function, such as "
                "`metric: package.module:function`, or remove the limit"
            )
        plain = [name for name, steps in self.variants.items() if not steps]
        if len(plain) != 1:
            raise ValueError(
                f"variants without steps: {', '.join(plain) or 'none'}; exactly one is needed: it is the "
                "baseline, such as fp32: []"
            )
        for variant, steps in self.variants.items():
            if reason := self.refuse(steps):
                raise ValueError(f"variants.{variant}: {reason}")
        return self

    @model_validator(mode="after")
    def _ruled(self) -> Self:
        names, traits = list(self.outputs), TASKS[self.task]
        for name in self.rules:
            if name not in names:
                raise ValueError(f"rules: the recipe has no output {name!r}; {nearest(name, names)}")
        for name, rule in self.rules.items():
            for key, partner in (("scores", rule.scores), ("classes", rule.classes)):
                if partner is not None and partner not in set(names) - {name, *self.rules}:
                    raise ValueError(
                        f"rules.{name}: `{key}` is {partner!r}, but it is no other output without a rule; "
                        f"{nearest(partner, set(names) - {name, *self.rules})}"
                    )
        first = self.rules.get(names[0])
        if first is not None and first.kind == "state":
            raise ValueError(
                f"rules.{names[0]}: the first output is an answer, and `state` is not compared; name another "
                "output first"
            )
        if first is None or traits.rule is None:
            return self
        if first.kind != traits.rule:
            raise ValueError(
                f"rules.{names[0]}: the task {self.task} compares its first output as {traits.rule}, not as "
                f"{first.kind}; remove the rule, or write `task: tensors`, in which every output has its own"
            )
        if traits.dims is not None and first.axis != -1:
            raise ValueError(
                f"rules.{names[0]}: `axis` is {first.axis}, but an output of the task {self.task} has its "
                "classes last; remove it"
            )
        return self

    def refuse(self, steps: Steps) -> str | None:
        """Return why these steps cannot make a variant of this model, with the fix; None if they can."""
        torch_model = not isinstance(self.source, OnnxSource)
        changeable = isinstance(self.source, FactorySource | HuggingFaceSource)
        return refuse_order(steps, torch_model, changeable) or refuse_training(
            steps, self.task, len(self.outputs)
        )

    @property
    def first_rule(self) -> Rule | None:
        """The rule of the first output, if the recipe has one."""
        return self.rules.get(next(iter(self.outputs)))

    @property
    def named_outputs(self) -> dict[str, str]:
        """Name for clients -> name in the file, in the order of the outputs."""
        if isinstance(self.outputs, Mapping):
            return dict(self.outputs)
        return {name: name for name in self.outputs}

    @property
    def baseline(self) -> str:
        """The variant without steps, with which all others are compared."""
        return next(name for name, steps in self.variants.items() if not steps)


def load_recipe(path: Path) -> Recipe:
    """Read the recipe from the YAML file `path`. Raises InvalidRecord, which names the place of every
    fault."""
    data = read_yaml(path, "a recipe, such as export/recipes/digits.yaml")
    return Recipe.parse(data, str(path))
