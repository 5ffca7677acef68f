"""A recipe is valid, or refused with the place and the fix."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from export.quality_limits import Floor, MetricFunction
from export.recipe import Recipe, load_recipe
from export.step import Prune, Quantize
from serve.base.errors import InvalidRecord

TRAIN = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}
PRUNE = {"step": "prune", "remove": "channels", "ratio": 0.5}
QUANTIZE = {"step": "quantize", "method": "static"}


def test_reads_the_shipped_recipe() -> None:
    """The digits recipe has a baseline without steps and its steps in order."""
    recipe = load_recipe(Path("export/recipes/digits.yaml"))
    assert recipe.baseline == "fp32"
    first, _, last = recipe.variants["slim-int8"]
    assert isinstance(first, Prune)
    assert isinstance(last, Quantize)


def test_a_metric_has_a_short_form() -> None:
    """A function alone is a metric of which more is better."""
    recipe = load_recipe(Path("export/recipes/digits.yaml")).model_dump(mode="json", exclude_unset=True)
    short, long = (
        Recipe.parse({**recipe, "metric": each}, "r").metric for each in ("m:f", {"function": "m:f"})
    )
    assert short == long == MetricFunction(function="m:f", better="higher")


def test_reads_the_older_name_of_a_limit() -> None:
    """`kl_divergence` is read as `kl`, and both at once are refused."""
    assert Floor.parse({"kl_divergence": 0.1}, "floor") == Floor(kl=0.1)
    with pytest.raises(InvalidRecord, match="'kl_divergence' is the older name of 'kl'"):
        Floor.parse({"kl": 0.1, "kl_divergence": 0.1}, "floor")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"flor": {}}, r"unknown key 'flor'; did you mean 'floor'\?", id="unknown key"),
        pytest.param(
            {"variants": {"fp32": [], "slim": [{**PRUNE, "rato": 1}]}},
            r"variants\.slim\.0\.prune: unknown key 'rato'; did you mean 'ratio'\?",
            id="unknown setting of a step",
        ),
        pytest.param({"floor": {}}, "a floor needs at least one limit", id="floor without limits"),
        pytest.param(
            {"floor": {"metric_drop": 0.1}},
            "limits metric_drop, and the recipe has no `metric`",
            id="no metric",
        ),
        pytest.param(
            {"metric": "f"}, "metric.function: String should match pattern", id="metric without module"
        ),
        pytest.param(
            {"metric": {"function": "m:f", "better": "more"}}, "better: .*'higher' or 'lower'", id="better"
        ),
        pytest.param({"floor": None}, "floor: Input should be a valid dict", id="missing key"),
        pytest.param(
            {"source": {"checkpoint": "a.pt"}},
            "a source must have one of the keys factory, huggingface, program, onnx",
            id="source of no kind",
        ),
        pytest.param(
            {"variants": {"fp32": [], "slim": [{"step": "prun"}]}},
            r"variants\.slim\.0: .*'prun'.*'prune', 'drop_layers', 'finetune', 'distill', 'fuse'",
            id="unknown step",
        ),
        pytest.param({"variants": {"fp32": [], "copy": []}}, "fp32, copy; exactly one", id="two baselines"),
        pytest.param({"variants": {"slim": [PRUNE]}}, "none; exactly one", id="no baseline"),
        pytest.param(
            {"variants": {"fp32": [], "odd": [QUANTIZE, PRUNE]}},
            r"variants\.odd: step 2 \(prune\) cannot follow quantize: it needs the torch model",
            id="prune after quantize",
        ),
        pytest.param(
            {"variants": {"fp32": [], "odd": [QUANTIZE, QUANTIZE]}},
            r"step 2 \(quantize\) cannot follow quantize: a graph is quantized only once",
            id="quantize twice",
        ),
        pytest.param(
            {"task": "regression", "source": {"huggingface": "m"}},
            "regression does not support .*give the model as a `factory`",
            id="regression of transformers",
        ),
        pytest.param({"outputs": ["a", "a"]}, "repeat a name", id="repeated output"),
        pytest.param(
            {"rules": {"logit": {"kind": "exact"}}},
            "no output 'logit'; did you mean 'logits'",
            id="rule of no output",
        ),
        pytest.param(
            {"rules": {"logits": {"kind": "number"}}}, "rules.logits.kind: .*'numbers'", id="unknown rule"
        ),
        pytest.param(
            {"rules": {"logits": {"kind": "numbers", "abs": 1}}},
            "classification compares its first output as classes, not as numbers; .*`task: tensors`",
            id="rule of another task",
        ),
        pytest.param(
            {"task": "detection", "rules": {"logits": {"kind": "boxes", "scores": "score"}}},
            "rules.logits: `scores` is 'score', but it is no other output without a rule",
            id="scores of no output",
        ),
        pytest.param(
            {"task": "detection", "variants": {"fp32": [], "odd": [{"step": "finetune", **TRAIN}]}},
            r"variants.odd: step 1 \(finetune\) learns from labels, which is not supported for the task det",
            id="labels that are not learnt",
        ),
        pytest.param(
            {
                "task": "detection",
                "outputs": ["boxes", "scores"],
                "variants": {"fp32": [], "odd": [{"step": "distill", "match": {"logits": 1}, **TRAIN}]},
            },
            r"step 1 \(distill\) teaches the first output alone, and the task detection has 2 outputs here",
            id="distilled boxes without scores",
        ),
        pytest.param(
            {"rules": {"logits": {"kind": "classes", "axis": 1}}},
            "has its classes last",
            id="axis of classes",
        ),
        pytest.param(
            {"source": {"onnx": "m.onnx"}, "outputs": {"a": "y", "b": "y"}},
            r"outputs \['y', 'y'\] repeat a name",
            id="an output under two names",
        ),
        pytest.param(
            {"outputs": {"scores": "logits"}},
            r"can rename only those of an ONNX file; .*write \['scores'\]",
            id="outputs of torch by name",
        ),
        pytest.param({"model": "../up"}, r"model: .*\(got: '\.\./up'\)", id="name that leaves the folder"),
        pytest.param({"opset": 17}, "opset: .*18.*17", id="opset that torch may not honour"),
    ],
)
def test_refuses(write_recipe: Callable[..., Path], changes: dict[str, object], message: str) -> None:
    """An invalid recipe is refused, and the error names the file, the place and the fix."""
    path = write_recipe(**changes)
    with pytest.raises(InvalidRecord, match=message) as refusal:
        load_recipe(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("model: a\nseed: 1\nmodel: b\n", ":3: the key 'model' is there twice", id="key"),
        pytest.param("model: [\n", r":2: expected the node content", id="syntax"),
        pytest.param("model: !!python/name:os.system\n", ":1: could not determine a constructor", id="code"),
        pytest.param("just text", "valid dictionary", id="no mapping"),
        pytest.param("a: \x00", "is not YAML", id="binary"),
    ],
)
def test_refuses_text(tmp_path: Path, text: str, message: str) -> None:
    """Invalid, ambiguous or executable YAML is refused with its line."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InvalidRecord, match=message):
        load_recipe(path)


def test_refuses_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    """A missing recipe is refused, and the error says to give its path."""
    with pytest.raises(
        InvalidRecord, match=re.escape("No such file or directory; give the path of a recipe")
    ):
        load_recipe(tmp_path / "recipe.yaml")


def test_outputs_of_a_file_may_get_other_names(write_recipe: Callable[..., Path]) -> None:
    """A mapping of outputs gives them other names in its order; a list keeps the names."""
    outputs = {"scores": "StatefulPartitionedCall:1", "label": "StatefulPartitionedCall:0"}
    recipe = load_recipe(write_recipe(source={"onnx": "m.onnx"}, outputs=outputs))
    assert list(recipe.named_outputs.items()) == list(outputs.items())
    assert load_recipe(write_recipe(outputs=["a", "b"])).named_outputs == {"a": "a", "b": "b"}
