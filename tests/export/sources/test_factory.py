"""A checkpoint is read without running code, and must fit the model exactly."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from export.artifacts import Trained
from export.errors import InvalidSource
from export.recipe import FactorySource
from export.sources.read_trained import read_trained

FACTORY = "export.recipes.digits:digits_model"


class Malicious:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def read(folder: Path, name: str, content: bytes, **arguments: Any) -> Trained:
    """The tiny digits network with this checkpoint."""
    (folder / name).write_bytes(content)
    usual: dict[str, Any] = {"widths": [4, 4, 4], "hidden": 8}
    source = FactorySource(factory=FACTORY, arguments=usual | arguments, checkpoint=name)
    return read_trained(source, folder, "classification")


def saved(content: object, zipped: bool = True) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_loads_every_weight(tmp_path: Path, tiny_checkpoint: bytes, suffix: str) -> None:
    """A checkpoint in either format gives the module exactly its weights, in evaluation mode."""
    state = safetensors.torch.load(tiny_checkpoint)
    trained = read(tmp_path, f"tiny.{suffix}", tiny_checkpoint if suffix == "safetensors" else saved(state))
    assert trained.build is not None
    model = trained.build()
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_become_float32(
    tmp_path: Path, tiny_checkpoint: bytes, dtype: torch.dtype
) -> None:
    """16-bit weights are converted exactly to float32."""
    state = {name: tensor.to(dtype) for name, tensor in safetensors.torch.load(tiny_checkpoint).items()}
    trained = read(tmp_path, "tiny.safetensors", safetensors.torch.save(state))
    assert trained.build is not None
    for name, tensor in trained.build().state_dict().items():
        assert torch.equal(tensor, state[name].to(tensor.dtype))


def test_every_copy_is_a_fresh_one(tmp_path: Path, tiny_checkpoint: bytes) -> None:
    """Changing one module does not change the next one that is built."""
    trained = read(tmp_path, "tiny.safetensors", tiny_checkpoint)
    assert trained.build is not None
    with torch.no_grad():
        next(trained.build().parameters()).zero_()
    assert next(trained.build().parameters()).any()


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_listed_and_not_run(tmp_path: Path, zipped: bool) -> None:
    """A checkpoint with pickled code is refused and not run; the error names the function."""
    trace = tmp_path / "trace"
    with pytest.raises(
        InvalidSource, match=r"evil\.pt: torch refuses .*would call posix\.system; save it again"
    ):
        read(tmp_path, "evil.pt", saved({"weight": Malicious(trace)}, zipped))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", b"no checkpoint", "torch refuses to read it"),
        ("a.pt", saved({"epoch": 3}), r"holds a mapping with the keys \['epoch'\], not a state_dict"),
        ("a.pt", saved({"head.bias": torch.zeros(10)})[:-200], "torch refuses to read it"),
        ("a.safetensors", b"no checkpoint", "not a safetensors file"),
        ("a.ckpt", b"", "ends in .safetensors, .pt, .pth or .bin"),
    ],
    ids=["garbage", "other content", "truncated", "garbage safetensors", "suffix"],
)
def test_refuses_what_holds_no_weights(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """A file that is no checkpoint is named, with the fix."""
    with pytest.raises(InvalidSource, match=message):
        read(tmp_path, name, content)


def test_refuses_a_truncated_checkpoint(tmp_path: Path, tiny_checkpoint: bytes) -> None:
    """Half of a safetensors file is refused."""
    with pytest.raises(InvalidSource, match="not a safetensors file"):
        read(tmp_path, "tiny.safetensors", tiny_checkpoint[: len(tiny_checkpoint) // 2])


def test_names_the_checkpoint_that_is_missing(tmp_path: Path) -> None:
    """A missing checkpoint is looked for beside the recipe and named in full."""
    source = FactorySource(factory=FACTORY, checkpoint="gone.safetensors")
    with pytest.raises(InvalidSource, match=rf"{tmp_path}/gone\.safetensors: No such file"):
        read_trained(source, tmp_path, "classification")


def test_refuses_the_weights_of_another_architecture(tmp_path: Path, tiny_checkpoint: bytes) -> None:
    """A shape that differs is named with both shapes."""
    with pytest.raises(InvalidSource, match=r"head\.weight is \[10, 8\], the model's is \[10, 9\]"):
        read(tmp_path, "tiny.safetensors", tiny_checkpoint, hidden=9)


def test_names_missing_and_unexpected_weights(tmp_path: Path, tiny_checkpoint: bytes) -> None:
    """A misspelt weight is reported as missing and as unexpected."""
    state = safetensors.torch.load(tiny_checkpoint)
    state["haed.bias"] = state.pop("head.bias")
    with pytest.raises(InvalidSource, match=r"missing head\.bias; unexpected haed\.bias"):
        read(tmp_path, "tiny.safetensors", safetensors.torch.save(state))


def test_refuses_nan_weights(tmp_path: Path, tiny_checkpoint: bytes) -> None:
    """NaN in a checkpoint's weights is refused."""
    state = safetensors.torch.load(tiny_checkpoint)
    state["head.bias"][3] = float("nan")
    with pytest.raises(InvalidSource, match=r"head\.bias holds NaN"):
        read(tmp_path, "tiny.safetensors", safetensors.torch.save(state))


class Causal(torch.nn.Module):
    """Attention over six steps, each to those before it; the mask is part of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.project = torch.nn.Linear(8, 8)
        self.register_buffer("mask", torch.nn.Transformer.generate_square_subsequent_mask(6))


def make_causal() -> torch.nn.Module:
    """Return the model."""
    return Causal()


def read_causal(folder: Path, **changed: torch.Tensor) -> Trained:
    """The module, with these tensors changed."""
    state = Causal().state_dict() | changed
    (folder / "causal.safetensors").write_bytes(safetensors.torch.save(state))
    source = FactorySource(factory=f"{__name__}:make_causal", checkpoint="causal.safetensors")
    return read_trained(source, folder, "classification")


def test_a_mask_may_be_infinite(tmp_path: Path) -> None:
    """A buffer may contain minus infinity, as causal masks do."""
    build = read_causal(tmp_path).build
    assert build is not None
    assert build().get_buffer("mask")[0, 1] == -torch.inf


@pytest.mark.parametrize(
    ("name", "value"),
    [("mask", torch.full((6, 6), torch.nan)), ("project.bias", torch.full((8,), torch.inf))],
)
def test_refuses_what_only_a_diverged_training_leaves(tmp_path: Path, name: str, value: torch.Tensor) -> None:
    """NaN in a buffer, or infinity in a parameter, is refused."""
    with pytest.raises(InvalidSource, match=rf"causal\.safetensors: {name} holds NaN or infinite"):
        read_causal(tmp_path, **{name: value})


def test_refuses_a_factory_that_makes_no_module(tmp_path: Path, tiny_checkpoint: bytes) -> None:
    """What the factory returns must be a torch module."""
    (tmp_path / "tiny.safetensors").write_bytes(tiny_checkpoint)
    wrong = FactorySource(factory="builtins:dict", checkpoint="tiny.safetensors")
    with pytest.raises(InvalidSource, match=r"returned a dict; .* torch\.nn\.Module"):
        read_trained(wrong, tmp_path, "classification")


class Tied(torch.nn.Module):
    """Two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.again = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
        self.again.weight = self.encode.weight


def make_tied() -> torch.nn.Module:
    """Return the model."""
    return Tied()


def test_a_shared_weight_is_read_from_the_one_name_that_safetensors_keeps(tmp_path: Path) -> None:
    """A shared weight that `save_model` stored under one name is loaded into both layers."""
    torch.manual_seed(1)
    saved_model = Tied()
    safetensors.torch.save_model(saved_model, str(tmp_path / "tied.safetensors"))
    source = FactorySource(factory=f"{__name__}:make_tied", checkpoint="tied.safetensors")
    build = read_trained(source, tmp_path, "classification").build
    assert build is not None
    for name, tensor in build().state_dict().items():
        assert torch.equal(tensor, saved_model.state_dict()[name])


def test_a_weight_that_is_not_shared_is_still_missing(tmp_path: Path) -> None:
    """A missing weight is refused, even if another one has its shape."""
    state = {name: tensor.clone() for name, tensor in Tied().state_dict().items() if name != "again.bias"}
    (tmp_path / "tied.safetensors").write_bytes(safetensors.torch.save(state))
    source = FactorySource(factory=f"{__name__}:make_tied", checkpoint="tied.safetensors")
    with pytest.raises(InvalidSource, match=r"missing again\.bias"):
        read_trained(source, tmp_path, "classification")


def make_on_meta() -> torch.nn.Module:
    """A factory of a module without values."""
    return torch.nn.Linear(2, 3, device="meta")


def test_refuses_a_module_without_values(tmp_path: Path) -> None:
    """A factory whose module has no values (device meta) is refused."""
    state = torch.nn.Linear(2, 3).state_dict()
    (tmp_path / "linear.safetensors").write_bytes(safetensors.torch.save(state))
    source = FactorySource(factory=f"{__name__}:make_on_meta", checkpoint="linear.safetensors")
    with pytest.raises(InvalidSource, match=r"make_on_meta: weight has no values \(device meta\); build"):
        read_trained(source, tmp_path, "classification")
