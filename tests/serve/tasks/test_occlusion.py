"""A row is cut into features, and copied without each of them."""

from typing import Any

import numpy as np
import pytest

from serve.tasks.occlusion import Occlusion, count_parts


@pytest.mark.parametrize(
    ("shapes", "parts"),
    [
        ([(8,)], [(8,)]),
        ([(1000,)], [(64,)]),
        ([(3, 224, 224)], [(1, 8, 8)]),
        ([(28, 28, 1)], [(8, 8, 1)]),
        ([(100, 6)], [(10, 6)]),
        ([(4,)], [(4,)]),
        ([(), ()], [(), ()]),
        ([(100,), (2,)], [(62,), (2,)]),
        ([(1,)] * 70, [(1,)] * 70),
    ],
)
def test_parts(shapes: list[tuple[int, ...]], parts: list[tuple[int, ...]]) -> None:
    """At most 64 features or one for each input; channels are cut only where nothing else is."""
    assert count_parts(shapes) == parts


def test_copies_of_a_vector() -> None:
    """Each copy lacks one column, the first copy none, and other inputs stay."""
    row: dict[str, Any] = {"x": np.array([[1.0, 2.0, 3.0]]), "state": np.array([[7.0]])}
    copies = Occlusion(fills={"x": np.array([-1.0, -2.0, -3.0])}).mask(row)
    assert copies["x"].tolist() == [[1, 2, 3], [-1, 2, 3], [1, -2, 3], [1, 2, -3]]
    assert copies["state"].tolist() == [[7]] * 4


def test_patches_cover_an_image_once() -> None:
    """Every pixel is replaced in exactly one copy, in all its colours together."""
    row = {"image": np.ones((1, 3, 20, 30), np.float32)}
    copies = Occlusion(fills={"image": np.zeros((3, 20, 30), np.float32)}).mask(row)["image"]
    lost = (copies == 0).sum(axis=0)
    assert (lost == 1).all()
    assert len(copies) == 1 + 64


def test_tokens_of_a_text() -> None:
    """Each copy has one token less; all inputs of tokens lose the same one, and the mask stays."""
    row: dict[str, Any] = {
        "input_ids": np.array([[5, 6, 7]]),
        "attention_mask": np.ones((1, 3), np.int64),
        "vectors": np.ones((1, 3, 2)),
    }
    names = frozenset({"input_ids", "vectors"})
    copies = Occlusion(fills={"input_ids": np.array(9), "vectors": np.array([0.0, 0.5])}, tokens=names).mask(
        row
    )
    assert copies["input_ids"].tolist() == [[5, 6, 7], [9, 6, 7], [5, 9, 7], [5, 6, 9]]
    assert copies["vectors"][2].tolist() == [[1, 1], [0, 0.5], [1, 1]]
    assert (copies["attention_mask"] == 1).all()
