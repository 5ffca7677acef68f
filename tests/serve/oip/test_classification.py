from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from serve.base.errors import InvalidRequest, ModelFailed
from serve.base.tensor import Signature, TensorSpec
from serve.oip.classification import classify
from serve.oip.http_codec import decode_request, encode_answer


def signature(datatype: str = "FP32", *shape: int | str) -> Signature:
    return Signature(
        inputs=(TensorSpec(name="x", datatype="INT8", shape=("batch",)),),
        outputs=(TensorSpec(name="y", datatype=datatype, shape=shape or ("batch", 3)),),
    )


def ask(classification: Any, form: Signature) -> Any:
    tensor = {"name": "x", "datatype": "INT8", "shape": [2], "data": [0, 0]}
    outputs = [{"name": "y", "parameters": {"classification": classification}}]
    return decode_request(orjson.dumps({"inputs": [tensor], "outputs": outputs}), None, (form,), 10)


def classified(values: Any, classes: int, *labels: str, batches: bool = True) -> Any:
    return classify(np.array(values), classes, labels, batches=batches).tolist()


def test_the_highest_values_come_first_and_ties_by_index() -> None:
    """The highest values come first, ties by index, each as value with six decimals, colon, index."""
    assert classified([[0.25, 2.0, 2.0], [3.5, -1.0, 0.0]], 2) == [
        [b"2.000000:1", b"2.000000:2"],
        [b"3.500000:0", b"0.000000:2"],
    ]


def test_labels_are_named() -> None:
    """A label follows the index only if the number of labels equals the number of values."""
    assert classified([[1.0, 2.0]], 1, "no", "yes") == [[b"2.000000:1:yes"]]
    assert classified([[1.0, 2.0, 0.0]], 1, "no", "yes") == [[b"2.000000:1"]]


def test_there_are_no_more_classes_than_values() -> None:
    """There are at most as many classes as values; all dimensions after the batch count as values."""
    assert classified([[[1.0], [2.0]]], 10) == [[b"2.000000:1", b"1.000000:0"]]


def test_whole_numbers_are_written_whole() -> None:
    """Integers are ranked as integers, unsigned ones too, and written without decimals."""
    assert classified(np.array([[0, 255, 7]], np.uint8), 2) == [[b"255:1", b"7:2"]]


def test_without_a_batch_there_is_one_list() -> None:
    """Without a batch dimension all values of the output are ranked together."""
    assert classified([[1.0, 2.0], [3.0, 0.0]], 2, batches=False) == [b"3.000000:2", b"2.000000:1"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_has_no_rank(value: float) -> None:
    """NaN in an output with classes raises ModelFailed."""
    with pytest.raises(ModelFailed, match="NaN"):
        classified([[value, 1.0]], 1)


def test_classes_come_as_bytes_in_the_answer() -> None:
    """Classes are strings in the JSON answer, with the datatype BYTES."""
    values: NDArray[Any] = np.array([[1, 2, 3], [3, 2, 1]], np.float32)
    body, _ = encode_answer("m", "v", ask(2, signature()), {"y": values}, signature(), {}, ("a", "b", "c"))
    assert orjson.loads(body)["outputs"] == [
        {
            "name": "y",
            "datatype": "BYTES",
            "shape": [2, 2],
            "data": ["3.000000:2:c", "2.000000:1:b", "3.000000:0:a", "2.000000:1:b"],
        }
    ]


@pytest.mark.parametrize("classification", [0, -1, True, 1.5, "2"])
def test_the_number_of_classes_is_a_whole_number(classification: Any) -> None:
    """The parameter classification must be an integer from 1 up."""
    with pytest.raises(InvalidRequest, match="expected a whole number of classes from 1 up"):
        ask(classification, signature())


@pytest.mark.parametrize(("datatype", "shape"), [("BYTES", ()), ("BOOL", ()), ("BF16", ()), ("FP32", (1,))])
def test_what_has_no_rank_has_no_classes(datatype: str, shape: tuple[int, ...]) -> None:
    """Asking for classes of a scalar or of strings is refused before the model runs."""
    scalar = Signature(inputs=signature().inputs, outputs=(TensorSpec(name="y", datatype="FP32", shape=()),))
    with pytest.raises(InvalidRequest, match="which has no classes"):
        ask(1, scalar if shape else signature(datatype))
