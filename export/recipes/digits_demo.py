"""Trains the network of `digits_resnet` in less than a minute, for `counterweight demo`.

`python -m export.recipes.digits_demo` trains it first on small images, which cost a quarter, and then on
images of full size."""

import sys
from pathlib import Path

from export.data.datasets import read_data
from export.recipes.digits_resnet import digits_resnet_data, digits_resnet_model
from export.recipes.training_files import leave, parse_out
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit

# The same as in digits_demo.yaml.
_WIDTHS = (64, 128, 256, 512)
# Side of the images in pixels -> epochs on them.
_EPOCHS = {16: 2, 32: 2}
# Threads split sums, so the result depends on this number.
_THREADS = 2


def train(out: Path) -> None:
    """Train the network and write `digits-demo.safetensors` and `inputs.npz` (held-out images) to `out`."""
    with reproducible(_THREADS):
        seed_everything(0)
        model = digits_resnet_model(_WIDTHS)
        for side, epochs in _EPOCHS.items():
            data = read_data(digits_resnet_data(side=side), "digits_resnet_data")
            fit(model, data, Training(epochs=epochs, batch_size=64, learning_rate=1e-3), seed=0)
    leave(out, "digits-demo", model, data.held_out.inputs)


def main(arguments: list[str]) -> int:
    """The command line: exit code 0."""
    train(parse_out("digits_demo", "Train the network of the demo, about 45 seconds.", arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
