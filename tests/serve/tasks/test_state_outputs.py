import numpy as np
import pytest

from serve.base.tensor import Signature, TensorSpec
from serve.bundles.meaning import Meaning
from serve.tasks.compare_outputs import compare
from serve.tasks.state_outputs import find_states


def _spec(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, datatype="FP32", shape=("batch", *shape))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("h", "hn"),
        ("h0", "hN"),
        ("state", "stateN"),
        ("in_cache0", "out_cache0"),
        ("past_key_values.0.key", "present_key_values.0.key"),
        ("hidden", "hidden_out"),
    ],
)
def test_the_next_value_of_an_input_is_state(before: str, after: str) -> None:
    """It has the shape, the type and nearly the name of an input that is called like state."""
    signature = Signature(
        inputs=(_spec("x", 8), _spec(before, 2, 4)), outputs=(_spec("y"), _spec(after, 2, 4))
    )
    assert find_states(signature) == {after: before}


@pytest.mark.parametrize(
    ("before", "after", "shape"),
    [("image", "image_out", (2, 4)), ("h", "hn", (2, 5)), ("state", "scores", (2, 4))],
    ids=["no state", "another shape", "another name"],
)
def test_other_outputs_are_answers(before: str, after: str, shape: tuple[int, ...]) -> None:
    """An image that comes back, another shape or another name is judged."""
    signature = Signature(inputs=(_spec(before, 2, 4),), outputs=(_spec("y"), _spec(after, *shape)))
    assert find_states(signature) == {}


def test_the_first_output_is_an_answer() -> None:
    """A model that only returns its state is judged by it."""
    assert find_states(Signature(inputs=(_spec("h", 4),), outputs=(_spec("hn", 4),))) == {}


def test_state_never_differs() -> None:
    """Only another shape does, because it would not fit the next request."""
    meaning = Meaning(kind="state")
    one = np.zeros((3, 4), np.float32)
    assert not compare("tensors", one, one + 9, meaning).differ.any()
    assert compare("tensors", one, np.zeros((3, 5), np.float32), meaning).differ.all()
