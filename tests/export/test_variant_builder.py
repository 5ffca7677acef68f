"""Steps that two variants share run once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export.cache import Cache
from export.data.datasets import Data
from export.recipe import load_recipe
from export.sources.read_trained import read_trained
from export.variant_builder import VariantBuilder

PRUNE = {"step": "prune", "remove": "channels", "ratio": 0.5}
FINETUNE = {"step": "finetune", "epochs": 1, "batch_size": 64, "learning_rate": 0.001}
QUANTIZE = {"step": "quantize", "method": "static"}


STEPS = [PRUNE, FINETUNE, QUANTIZE]
ALL = ["step 1, prune", "step 2, finetune", "export to ONNX", "step 3, quantize"]


@pytest.fixture
def open_builder(
    write_recipe: Callable[..., Path], data: Data, tmp_path: Path
) -> Callable[[list[str]], VariantBuilder]:
    """Return a builder on one shared cache, which appends what it makes to the list."""
    path = write_recipe(variants={"fp32": [], "slim": STEPS[:2], "slim-int8": STEPS})
    recipe = load_recipe(path)
    trained = read_trained(recipe.source, path.parent, recipe.task)

    def open_one(announced: list[str]) -> VariantBuilder:
        cache = Cache(tmp_path / "cache", "origin")
        return VariantBuilder(
            recipe, trained, data, cache, lambda text: announced.append(text.split(": ")[1])
        )

    return open_one


def test_a_shared_prefix_of_steps_is_made_once(open_builder: Callable[[list[str]], VariantBuilder]) -> None:
    """Two variants with the same first steps share their results."""
    announced: list[str] = []
    builder = open_builder(announced)
    slim, small = builder.make("slim"), builder.make("slim-int8")
    assert announced == ALL
    assert small.parity == slim.parity


@pytest.mark.parametrize("number", range(len(ALL)), ids=ALL)
def test_what_was_finished_before_a_kill_is_not_made_again(
    open_builder: Callable[[list[str]], VariantBuilder], number: int
) -> None:
    """After a kill at any step, the next workshop continues with that step and makes the same graph."""

    class KilledError(BaseException):
        """Ends the step like a signal."""

    class Kill(list[str]):
        def append(self, item: str) -> None:
            if item == ALL[number]:
                raise KilledError
            super().append(item)

    before: list[str] = Kill()
    with pytest.raises(KilledError):
        open_builder(before).make("slim-int8")
    after: list[str] = []
    finished = open_builder(after).make("slim-int8")
    assert [*before, *after] == ALL
    assert finished.graph == open_builder([]).make("slim-int8").graph
