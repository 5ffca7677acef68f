"""The model and data of the recipe tumour: the network of `tabular` with a single score, which is above 0 for
malignant tumours.

`python -m export.recipes.tumour` trains the network."""

import sys
from collections.abc import Sequence
from pathlib import Path

from export.data.datasets import read_data
from export.recipes.tabular import Rows, TabularNet, fit_standardised, tabular_data
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from serve.bundles.meaning import Rule


def tumour_model(widths: Sequence[int] = (256, 256, 128)) -> TabularNet:
    """Return the untrained network, with 107,265 parameters by default."""
    return TabularNet(widths, scores=1)


def tumour_data(seed: int = 0) -> dict[str, Rows]:
    """Return the splits of `tabular`; a label is 1 for a malignant tumour."""
    return {name: (inputs, 1 - labels) for name, (inputs, labels) in tabular_data(seed).items()}


def train(out: Path) -> None:
    """Train the network and write `tumour.safetensors` and `inputs.npz` (held-out rows) to `out`."""
    data = read_data(tumour_data(), "tumour_data", task="binary")
    with reproducible():
        seed_everything(0)
        model = fit_standardised(tumour_model(), data, Rule(kind="labels", threshold=0))
    leave(out, "tumour", model, data.held_out.inputs)


def main(arguments: list[str]) -> int:
    """Run the command line and return exit code 0."""
    train(parse_out("tumour", "Train the tumour network, about 2 seconds.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
