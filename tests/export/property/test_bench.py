"""Each step's result on a random network is what its note says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from export.reproducible import reproducible
from tests.export.property.attempts import ATTEMPTS, attempt

# Networks in which a fault was found: the step and the seed.
_FOUND = (
    ("channels by ratio", 143),
    ("channels by ratio", 332),
    ("channels by ratio", 166),
    ("channels by multiply-adds", 22),
    ("channels by multiply-adds", 46),
)
# The number of networks per step; `make networks` tries thousands.
_NETWORKS = 16


@pytest.fixture(autouse=True)
def _as_in_an_export() -> Iterator[None]:
    with reproducible():
        yield


@pytest.mark.parametrize(
    ("name", "seed"), [*((name, seed) for name in ATTEMPTS for seed in range(_NETWORKS)), *_FOUND]
)
def test_what_comes_is_what_the_step_says(name: str, seed: int, tmp_path: Path) -> None:
    """Each step on a random network does what its note says: `attempt` finds no fault."""
    assert attempt(name, seed, tmp_path).fault is None
