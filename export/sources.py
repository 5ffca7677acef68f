"""Sources: where trained models come from: a factory builds the module, a checkpoint fills it."""

import io
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from export.errors import InvalidSource
from export.factories import call_factory
from export.recipe import Source

State = Mapping[str, torch.Tensor]

_AS_SAFETENSORS = "save it again with safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"


def read_checkpoint(source: Source, folder: Path) -> bytes:
    """The content of the checkpoint, found from the recipe's `folder`. Raises InvalidSource."""
    path = folder / source.checkpoint
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSource(
            f"checkpoint {path}: {error.strerror}; train the model first, or correct `source.checkpoint`, "
            "which is relative to the recipe's folder"
        ) from None


def load_model(source: Source, checkpoint: bytes) -> torch.nn.Module:
    """The trained model, ready to be evaluated. Raises InvalidSource unless every weight fits."""
    model = call_factory(source.factory, source.arguments)
    if not isinstance(model, torch.nn.Module):
        raise InvalidSource(
            f"{source.factory} returned a {type(model).__name__}; a model's factory returns a torch.nn.Module"
        )
    state = _read_state(source.checkpoint, checkpoint)
    _refuse_misfit(source, model.state_dict(), state)
    model.load_state_dict(dict(state))
    return model.eval()


def _read_state(name: str, content: bytes) -> State:
    suffix = Path(name).suffix
    if suffix == ".safetensors":
        try:
            return safetensors.torch.load(content)
        except safetensors.SafetensorError as error:
            raise InvalidSource(f"{name} is no safetensors file: {error}; {_AS_SAFETENSORS}") from None
    if suffix not in (".pt", ".pth", ".bin"):
        raise InvalidSource(
            f"{name}: a checkpoint ends in .safetensors, .pt, .pth or .bin; {_AS_SAFETENSORS}"
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen unrelated classes on what it cannot read
        reason = str(error).partition("\n")[0]
        raise InvalidSource(
            f"{name}: torch refuses to read it as plain weights, and nothing of it was run: {reason}; "
            f"{_AS_SAFETENSORS}"
        ) from None
    if not (isinstance(state, Mapping) and all(isinstance(value, torch.Tensor) for value in state.values())):
        holds = f"a mapping with the keys {list(state)[:5]}" if isinstance(state, Mapping) else type(state)
        raise InvalidSource(f"{name} holds {holds}, not a state_dict of tensors; {_AS_SAFETENSORS}")
    return state


def _refuse_misfit(source: Source, expected: State, came: State) -> None:
    faults = [f"missing {key}" for key in expected if key not in came]
    faults += [f"unexpected {key}" for key in came if key not in expected]
    for key in expected:
        if key in came and came[key].shape != expected[key].shape:
            faults.append(f"{key} is {list(came[key].shape)}, the model's is {list(expected[key].shape)}")
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise InvalidSource(
            f"{source.checkpoint} does not fit the model of {source.factory}: {'; '.join(faults[:5])}{more}; "
            "correct `source.arguments` or `source.checkpoint`"
        )
    for key, tensor in came.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InvalidSource(
                f"{source.checkpoint}: {key} holds NaN or infinite weights; such a model answers nothing: "
                "take a checkpoint from before the training diverged"
            )
