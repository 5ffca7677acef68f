"""What two variants share is made once."""

from collections.abc import Callable
from pathlib import Path

from export.datasets import Data
from export.recipe import load_recipe
from export.workshop import Workshop

PRUNE = {"step": "prune", "channels": 0.5}
QUANTIZE = {"step": "quantize", "method": "static"}


def test_a_shared_prefix_of_steps_is_made_once(
    write_recipe: Callable[..., Path], tiny_checkpoint: bytes, data: Data
) -> None:
    """The quantized variant starts from the pruned one's own graph."""
    recipe = load_recipe(write_recipe(variants={"fp32": [], "slim": [PRUNE], "slim-int8": [PRUNE, QUANTIZE]}))
    announced: list[str] = []
    workshop = Workshop(recipe, tiny_checkpoint, data, announced.append)
    slim, small = workshop.make("slim"), workshop.make("slim-int8")
    assert announced == ["slim: step 1, prune", "slim: export to ONNX", "slim-int8: step 2, quantize"]
    assert small.parity == slim.parity
