"""Which layer of the teacher is matched to a layer of the student."""

import pytest

from export.artifacts import Note
from export.training.layer_outputs import pair_layers


def drop(*kept: int) -> Note:
    """What drop_layers writes down."""
    return {"kind": "drop_layers", "stack": "layers", "kept": [*kept]}


@pytest.mark.parametrize(
    ("layers", "surgery", "expected"),
    [
        (6, [], [0, 1, 2, 3, 4, 5]),
        (3, [], [1, 3, 5]),
        (4, [], [0, 2, 3, 5]),
        (1, [], [5]),
        (8, [], [0, 0, 1, 2, 2, 3, 4, 5]),
        (3, [drop(0, 2, 5)], [1, 4, 5]),
        (3, [drop(0, 4, 5)], [3, 4, 5]),
        (3, [drop(0, 1, 2)], [0, 1, 5]),
        (2, [drop(0, 2, 4, 5), drop(1, 3)], [4, 5]),
    ],
)
def test_pairs(layers: int, surgery: list[Note], expected: list[int]) -> None:
    """Each of the student's layers is paired with the last one that it replaces, or with evenly spaced
    ones."""
    assert pair_layers(layers, 6, surgery) == expected
