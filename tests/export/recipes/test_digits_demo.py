from pathlib import Path

import pytest
import torch

from export.recipe import FactorySource, load_recipe
from export.recipes.digits_demo import _EPOCHS, _THREADS, _WIDTHS
from export.recipes.digits_resnet import digits_resnet_data, digits_resnet_model


@pytest.mark.parametrize("side", _EPOCHS)
def test_the_network_takes_images_of_every_side(side: int) -> None:
    """The network gives ten logits for images of each size."""
    inputs, labels = digits_resnet_data(side=side)["train"]
    assert inputs["image"].shape == (len(labels), 1, side, side)
    network = digits_resnet_model((4, 4, 4, 4)).eval()
    assert network(torch.from_numpy(inputs["image"][:2])).shape == (2, 10)


def test_what_is_trained_is_what_the_recipe_exports() -> None:
    """The training uses the recipe's widths and threads."""
    recipe = load_recipe(Path("export/recipes/digits_demo.yaml"))
    assert isinstance(recipe.source, FactorySource)
    assert recipe.source.arguments["widths"] == list(_WIDTHS)
    assert recipe.threads == _THREADS
