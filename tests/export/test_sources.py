"""A checkpoint is read without running it, and fits the model to the last weight."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from export.errors import InvalidSource
from export.recipe import Source
from export.sources import load_model, read_checkpoint

FACTORY = "export.recipes.digits:digits_model"


class Malicious:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def source(checkpoint: str, **arguments: Any) -> Source:
    """The tiny digits network with this checkpoint."""
    usual: dict[str, Any] = {"widths": [4, 4, 4], "hidden": 8}
    return Source(factory=FACTORY, arguments=usual | arguments, checkpoint=checkpoint)


def saved(content: object) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_loads_every_weight(tiny_checkpoint: bytes, suffix: str) -> None:
    """Both formats fill the module with the very weights of the file, ready to be evaluated."""
    state = safetensors.torch.load(tiny_checkpoint)
    content = tiny_checkpoint if suffix == "safetensors" else saved(state)
    model = load_model(source(f"tiny.{suffix}"), content)
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    """A pickle that would run a program does not, and the error says how to save weights alone."""
    trace = tmp_path / "trace"
    with pytest.raises(InvalidSource, match=r"evil\.pt: torch refuses .*save it again with safetensors"):
        load_model(source("evil.pt"), saved({"weight": Malicious(trace)}))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", b"no checkpoint", "torch refuses to read it"),
        ("a.pt", saved({"epoch": 3}), r"holds a mapping with the keys \['epoch'\], not a state_dict"),
        ("a.safetensors", b"no checkpoint", "no safetensors file"),
        ("a.ckpt", b"", "ends in .safetensors, .pt, .pth or .bin"),
    ],
)
def test_refuses_what_holds_no_weights(name: str, content: bytes, message: str) -> None:
    """A file that is no checkpoint is named, with the fix."""
    with pytest.raises(InvalidSource, match=message):
        load_model(source(name), content)


def test_names_the_checkpoint_that_is_missing(tmp_path: Path) -> None:
    """A missing checkpoint is looked for beside the recipe and named in full."""
    with pytest.raises(InvalidSource, match=rf"{tmp_path}/gone\.safetensors: No such file"):
        read_checkpoint(source("gone.safetensors"), tmp_path)


def test_refuses_the_weights_of_another_architecture(tiny_checkpoint: bytes) -> None:
    """A shape that differs is named with both shapes."""
    with pytest.raises(InvalidSource, match=r"head\.weight is \[10, 8\], the model's is \[10, 9\]"):
        load_model(source("tiny.safetensors", hidden=9), tiny_checkpoint)


def test_names_missing_and_unexpected_weights(tiny_checkpoint: bytes) -> None:
    """A weight under another name is both missing and unexpected."""
    state = safetensors.torch.load(tiny_checkpoint)
    state["haed.bias"] = state.pop("head.bias")
    with pytest.raises(InvalidSource, match=r"missing head\.bias; unexpected haed\.bias"):
        load_model(source("tiny.safetensors"), safetensors.torch.save(state))


def test_refuses_nan_weights(tiny_checkpoint: bytes) -> None:
    """A checkpoint of a diverged training is no model."""
    state = safetensors.torch.load(tiny_checkpoint)
    state["head.bias"][3] = float("nan")
    with pytest.raises(InvalidSource, match=r"head\.bias holds NaN"):
        load_model(source("tiny.safetensors"), safetensors.torch.save(state))


def test_refuses_a_factory_that_makes_no_module(tiny_checkpoint: bytes) -> None:
    """What the factory returns must be a torch module."""
    wrong = Source(factory="builtins:dict", checkpoint="tiny.safetensors")
    with pytest.raises(InvalidSource, match=r"returned a dict; .* torch\.nn\.Module"):
        load_model(wrong, tiny_checkpoint)
