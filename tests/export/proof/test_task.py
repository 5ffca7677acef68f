"""The first output must fit the recipe's task."""

from typing import Any

import numpy as np
import pytest

from export.data.datasets import Data, read_data
from export.errors import ExportFailed, InvalidData
from export.proof.task import require_rules, require_task
from serve.base.tensor import TensorSpec
from serve.bundles.meaning import Rule, Task


def data_of(labels: bool = False) -> Data:
    """Rows of two numbers; labels are 0 or 1."""
    splits = {
        name: (
            {"x": np.random.default_rng(seed).normal(size=(6, 2)).astype(np.float32)},
            np.arange(6) % 2 if labels else None,
        )
        for seed, name in enumerate(("calibration", "search", "held_out"))
    }
    return read_data(splits, "make")


def output(*shape: Any, datatype: str = "FP32") -> TensorSpec:
    """The first output `y`."""
    return TensorSpec(name="y", datatype=datatype, shape=shape)


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        ("classification", ("batch", 3)),
        ("classification", ("batch", 1)),
        ("classification", ("batch",)),
        ("token_classification", ("batch", "tokens", 3)),
        ("embedding", ("batch", 384)),
        ("regression", ("batch",)),
        ("regression", ("batch", 5, 8, 8)),
        ("regression", ("batch", "boxes", 6)),
    ],
    ids=str,
)
def test_shapes_of_a_task_pass(task: Task, shape: tuple[Any, ...]) -> None:
    """Each of these shapes is accepted for its task."""
    require_task(task, output(*shape), data_of(), ())


@pytest.mark.parametrize(
    ("task", "shape", "form"),
    [
        ("classification", ("batch", 5, 8, 8), r"\[batch, classes\]"),
        ("classification", ("batch", "width"), r"\[batch, classes\]"),
        ("token_classification", ("batch", 5), r"\[batch, tokens, classes\]"),
        ("embedding", ("batch",), r"\[batch, width\]"),
    ],
    ids=str,
)
def test_another_shape_is_refused_with_a_way_out(task: Task, shape: tuple[Any, ...], form: str) -> None:
    """The error for a wrong shape recommends `task: regression`."""
    with pytest.raises(ExportFailed, match=f"the task is {task}; .*{task} {form}.*write `task: regression`"):
        require_task(task, output(*shape), data_of(), ())


@pytest.mark.parametrize(
    ("shape", "datatype", "rule"),
    [
        (("batch",), "FP32", "stays within 0.2 standard deviations"),
        (("batch", 1), "FP32", "stays within 0.2 standard deviations"),
        (("batch",), "INT64", "is the same"),
    ],
    ids=str,
)
def test_labels_need_a_score_for_each_class(shape: tuple[Any, ...], datatype: str, rule: str) -> None:
    """Labels with an output of one number a row are refused."""
    with pytest.raises(InvalidData, match=f"one number.*give None for labels.*whose number {rule}"):
        require_task("classification", output(*shape, datatype=datatype), data_of(labels=True), ())


def test_one_number_is_no_embedding() -> None:
    """One number a row is refused as an embedding."""
    with pytest.raises(InvalidData, match="not an embedding"):
        require_task("embedding", output("batch", 1), data_of(), ())


@pytest.mark.parametrize("shape", [("batch", 3), ("batch",)], ids=str)
def test_each_score_has_a_name_or_none_has(shape: tuple[Any, ...]) -> None:
    """A number of names other than the number of scores is refused with both numbers."""
    with pytest.raises(ExportFailed, match="2 classes have a name, from bad to good, and the output y has"):
        require_task("classification", output(*shape), data_of(), ("bad", "good"))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (("batch", 1, "height", "width"), "that fits none of these"),
        (("batch", "tokens", 5), "that fits token_classification"),
        (("batch", 384, 384), "that fits token_classification"),
    ],
    ids=str,
)
def test_the_tasks_that_there_are_and_those_that_fit_are_named(shape: tuple[Any, ...], words: str) -> None:
    """A shape that fits no task is refused, and the error lists the forms of all tasks."""
    forms = r"classification \[batch, classes\], token_classification .* embedding \[batch, width\]"
    with pytest.raises(ExportFailed, match=f"{forms}.*{words}"):
        require_task("classification", output(*shape), data_of(), ())


@pytest.mark.parametrize(
    ("rule", "shape", "datatype", "message"),
    [
        ({"kind": "numbers"}, ("batch",), "BYTES", "holds BYTES, no numbers"),
        ({"kind": "classes", "axis": 2}, ("batch", 3), "FP32", "without a dimension 2"),
        ({"kind": "classes"}, ("batch", "steps"), "FP32", "dimension -1 has no fixed size"),
        ({"kind": "vectors"}, ("batch", 1), "FP32", "dimension -1 has no fixed size of two or more"),
    ],
    ids=str,
)
def test_an_output_that_a_rule_cannot_compare_is_refused(
    rule: dict[str, Any], shape: tuple[Any, ...], datatype: str, message: str
) -> None:
    """With the output, its shape and another rule."""
    with pytest.raises(ExportFailed, match=rf"rules.y compares .*{message}.*`kind: exact`"):
        require_rules({"y": Rule(**rule)}, [output(*shape, datatype=datatype)])


def test_an_output_that_a_rule_can_compare_passes() -> None:
    """Of any shape for numbers and labels; an output without a rule is not looked at."""
    for shape in (("batch",), ("batch", 1), ("batch", 10)):
        require_rules({"y": Rule(kind="labels", threshold=0)}, [output(*shape)])
    rules = {"y": Rule(kind="classes", axis=1), "z": Rule(kind="exact")}
    require_rules(
        rules, [output("batch", 3, "height", "width"), TensorSpec(name="w", datatype="BYTES", shape=())]
    )
