"""Training for 8 bits computes as the quantized graph does and leaves the module without changes of its
own."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from export.data.datasets import Data
from export.errors import StepFailed
from export.recipes.digits import digits_model
from export.reproducible import seed_everything
from export.step import Training
from export.training.answers import module_answers
from export.training.quantize_aware import simulate_8bit
from export.training.scores import accuracy_of
from export.training.train import fit


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(data: Data) -> torch.nn.Module:
    """A small network that reads digits."""
    seed_everything(0)
    settings = Training(epochs=12, learning_rate=0.01, batch_size=64)
    return fit(digits_model([4, 8, 8], 16), data, settings, seed=0)


def test_leaves_nothing_behind(trained: torch.nn.Module, data: Data) -> None:
    """After the context names, weights and answers are as before; inside it the answers differ."""
    names, before = list(trained.state_dict()), module_answers(trained, data.search)
    with simulate_8bit(trained, data.calibration):
        inside = module_answers(trained, data.search)
    assert list(trained.state_dict()) == names
    assert np.array_equal(module_answers(trained, data.search), before)
    assert not np.array_equal(inside, before)


def test_rounds_to_one_in_255(data: Data) -> None:
    """The layer's input is rounded to 255 steps of its calibrated range."""
    layer = torch.nn.Conv2d(1, 1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    with simulate_8bit(layer, data.calibration):
        came = layer(torch.tensor([[[[0.0, 0.4999, 1.0, 7.0]]]]))
    # The images have values of 0 to 1; the quantization clips all others.
    assert came.flatten().tolist() == pytest.approx([0, 127 / 255, 1, 1])


def test_gradients_pass(trained: torch.nn.Module, data: Data) -> None:
    """Gradients pass through the rounding unchanged."""
    module = copy.deepcopy(trained)
    with simulate_8bit(module, data.calibration):
        module(torch.tensor(data.search.inputs["image"][:9])).sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in module.parameters())


def test_the_statistics_of_batch_normalization_stay(trained: torch.nn.Module, data: Data) -> None:
    """Training for 8 bits keeps the statistics of batch normalization."""
    module = copy.deepcopy(trained)
    fit(module, data, Training(epochs=1, learning_rate=0.001, batch_size=64, quantize_aware=True), seed=0)
    for name, value in module.named_buffers():
        assert torch.equal(value, trained.get_buffer(name))


def test_a_model_without_layers_to_round_is_an_error(data: Data) -> None:
    """A model without layers to round is refused."""
    with (
        pytest.raises(StepFailed, match="rounds Linear, Conv1d and Conv2d layers, and GRU has none"),
        simulate_8bit(torch.nn.GRU(2, 2), data.calibration),
    ):
        pass


def test_batch_normalization_may_be_folded_afterwards(data: Data) -> None:
    """Folding the batch normalization before or after the rounding gives the same answers."""
    seed_everything(0)
    convolution, norm = torch.nn.Conv2d(1, 4, 3, bias=False), torch.nn.BatchNorm2d(4)
    norm(convolution(torch.tensor(data.search.inputs["image"])))
    torch.nn.init.uniform_(norm.weight, 0.1, 9)
    apart = torch.nn.Sequential(convolution, norm).eval()
    folded = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution.eval(), norm.eval())
    with simulate_8bit(apart, data.calibration), simulate_8bit(folded, data.calibration):
        one, other = (module_answers(module, data.search) for module in (apart, folded))
    assert np.allclose(one, other, atol=1e-5)


def test_it_costs_nothing(trained: torch.nn.Module, data: Data) -> None:
    """Training for 8 bits loses at most one of 450 digits against ordinary training."""
    right = {
        aware: round(_accuracy_in_8_bits(trained, data, 0.001, aware) * len(data.held_out))
        for aware in (False, True)
    }
    assert right[True] >= right[False] - 1


def test_it_pays(trained: torch.nn.Module, data: Data) -> None:
    """With one channel 300 times as large as the others, training for 8 bits is more accurate by over 0.2."""
    right = {
        aware: _accuracy_in_8_bits(_with_an_outlier(trained), data, 0.0002, aware) for aware in (False, True)
    }
    assert right[True] > right[False] + 0.2


def _accuracy_in_8_bits(module: torch.nn.Module, data: Data, learning_rate: float, aware: bool) -> float:
    settings = Training(epochs=4, learning_rate=learning_rate, batch_size=64, quantize_aware=aware)
    module = fit(copy.deepcopy(module), data, settings, seed=0)
    with simulate_8bit(module, data.calibration):
        return accuracy_of(module, data.held_out)


def _with_an_outlier(module: torch.nn.Module) -> torch.nn.Module:
    """The same function: what one channel gains, the convolution after it takes back."""
    module = copy.deepcopy(module)
    with torch.no_grad():
        for name in ("features.1.weight", "features.1.bias"):
            module.get_parameter(name)[1] *= 300
        module.get_parameter("features.3.weight")[:, 1] /= 300
    return module
