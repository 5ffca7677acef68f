"""No step makes of a random network what its note does not say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from export.reproducible import reproducible
from tests.export.property.attempts import ATTEMPTS, attempt

# Of each step; `make networks` tries thousands.
_NETWORKS = 16


@pytest.fixture(autouse=True)
def _as_in_an_export() -> Iterator[None]:
    with reproducible():
        yield


@pytest.mark.parametrize("seed", range(_NETWORKS))
@pytest.mark.parametrize("name", ATTEMPTS)
def test_what_comes_is_what_the_step_says(name: str, seed: int, tmp_path: Path) -> None:
    """What it removed counts as zero, all else is as it was, and it can be made again."""
    assert attempt(name, seed, tmp_path).fault is None
