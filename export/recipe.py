"""Recipe: what a person writes: which model, which data, which variants to make, and the quality floor."""

from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, JsonValue, model_validator

from serve.bundle import Name
from serve.errors import InvalidRecord
from serve.record import Record

ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Source(Record):
    """The trained model: the code that builds it and the weights that go into it."""

    # "package.module:function"; the function returns the torch module that the checkpoint fits.
    factory: ImportPath
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    # Relative to the recipe's folder: .safetensors, or a state_dict in .pt, .pth or .bin.
    checkpoint: Annotated[str, Field(min_length=1)]


class DataSource(Record):
    """The code that returns the splits; see export/datasets.py for what it returns."""

    factory: ImportPath
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class Floor(Record):
    """What a variant may lose on the held-out split before it is written as rejected."""

    # How far below the baseline's figure a variant's may be, 0 to 1.
    accuracy_drop: Share
    macro_f1_drop: Share
    # The least share of held-out rows on which the top class is the baseline's.
    agreement: Share


class Prune(Record):
    """Remove whole channels, so that the graph really is smaller."""

    step: Literal["prune"]
    # The share of every layer's output channels that goes; the model's own outputs stay.
    channels: Annotated[float, Field(gt=0, lt=1)]


class Finetune(Record):
    """Train on the train split; the best epoch on the search split is kept."""

    step: Literal["finetune"]
    epochs: Annotated[int, Field(ge=1)]
    # Where the cosine schedule starts.
    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Annotated[int, Field(ge=2)]


class Quantize(Record):
    """Turn weights and activations into 8-bit integers, ranges taken from the calibration split."""

    step: Literal["quantize"]
    method: Literal["static"]
    # The whole range, or all but its outermost 0.001 %.
    calibrate: Literal["minmax", "percentile"] = "minmax"
    # One scale per output channel of a weight instead of one for all of it.
    per_channel: bool = True
    activations: Literal["uint8", "int8"] = "uint8"
    weights: Literal["int8", "uint8"] = "int8"


TorchStep = Prune | Finetune
Step = Annotated[TorchStep | Quantize, Field(discriminator="step")]
Steps = tuple[Step, ...]


class Recipe(Record):
    """One model and all the variants to make of it."""

    model: Name
    # Decides every random draw: order of batches, dropout.
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    source: Source
    data: DataSource
    # The names of the model's outputs on the wire, in the order in which the model returns them.
    outputs: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    # torch writes 18 to 23; below 18 it may silently stay at 18.
    opset: Annotated[int, Field(ge=18, le=23)] = 20
    floor: Floor
    variants: Annotated[dict[Name, Steps], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs {list(self.outputs)} repeat a name; each output needs its own")
        plain = [name for name, steps in self.variants.items() if not steps]
        if len(plain) != 1:
            raise ValueError(
                f"variants without steps: {', '.join(plain) or 'none'}; "
                "exactly one is needed: it is the baseline, such as fp32: []"
            )
        for variant, steps in self.variants.items():
            _refuse_senseless_order(variant, steps)
        return self

    @property
    def baseline(self) -> str:
        """The variant that all others are weighed against: the one without steps."""
        return next(name for name, steps in self.variants.items() if not steps)


def load_recipe(path: Path) -> Recipe:
    """The recipe in the YAML file `path`. Raises InvalidRecord, which names the place of every fault."""
    try:
        loader = _UniqueKeyLoader(path.read_bytes())
        try:
            data = loader.get_single_data()
        finally:
            loader.dispose()
    except OSError as error:
        raise InvalidRecord(
            f"{path}: {error.strerror}; give the path of a recipe, such as export/recipes/digits.yaml"
        ) from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidRecord(f"{path}{line}: {error.problem}; correct the YAML there") from None
    except yaml.YAMLError as error:
        raise InvalidRecord(f"{path} is no YAML: {error}") from None
    return Recipe.parse(data, str(path))


def _refuse_senseless_order(variant: str, steps: Steps) -> None:
    for number, (before, step) in enumerate(pairwise(steps), start=2):
        if isinstance(before, Quantize):
            reason = (
                "a graph is quantized once"
                if isinstance(step, Quantize)
                else f"{step.step} works on the torch model, which quantize has already left for ONNX"
            )
            raise ValueError(
                f"variants.{variant}: step {number} ({step.step}) cannot follow quantize: {reason}; "
                "make quantize the last step, once"
            )


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, which by itself lets the last of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the safe loader refuses it itself, with the place
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here a second time", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
