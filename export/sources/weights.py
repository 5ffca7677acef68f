"""Reads named tensors from a file without running anything in it."""

import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from export.errors import InvalidSource, reason_of

State = Mapping[str, torch.Tensor]

_AS_SAFETENSORS = "save it again with safetensors.torch.save_model(model, 'model.safetensors')"


def read_weights(name: str, content: bytes) -> State:
    """Return the tensors of a checkpoint: safetensors, or a state_dict of plain weights. Raises
    InvalidSource."""
    suffix = Path(name).suffix
    if suffix == ".safetensors":
        try:
            return safetensors.torch.load(content)
        except safetensors.SafetensorError as error:
            raise InvalidSource(f"{name} is not a safetensors file: {error}; {_AS_SAFETENSORS}") from None
    if suffix not in (".pt", ".pth", ".bin"):
        raise InvalidSource(
            f"{name}: a checkpoint ends in .safetensors, .pt, .pth or .bin; {_AS_SAFETENSORS}"
        )
    state = load_plain(name, content)
    if not (isinstance(state, Mapping) and all(isinstance(value, torch.Tensor) for value in state.values())):
        holds = f"a mapping with the keys {list(state)[:5]}" if isinstance(state, Mapping) else type(state)
        raise InvalidSource(f"{name} holds {holds}, not a state_dict of tensors; {_AS_SAFETENSORS}")
    return state


def load_plain(name: str, content: bytes) -> object:
    """Read plain data written by torch.save. Raises InvalidSource, which names the functions that the file
    would have called; none is called."""
    with warnings.catch_warnings():
        # A warning about the protocol of a pickle that is refused anyway.
        warnings.simplefilter("ignore", UserWarning)
        try:
            loaded: object = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises a dozen unrelated classes on what it cannot read
            called = _find_globals(content, str(error))
            reason = f"it would call {', '.join(called)}" if called else reason_of(error)
            raise InvalidSource(
                f"{name}: torch refuses to read it as plain weights, and nothing of it was run: {reason}; "
                f"{_AS_SAFETENSORS}"
            ) from None
    return loaded


def _find_globals(content: bytes, message: str) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)))
    except Exception:  # it reads only zip files, and whole ones; torch.load's own words name the first
        return re.findall(r"GLOBAL ([\w.]+)", message)[:1]


def complete_shared(expected: State, actual: State) -> State:
    """Return the weights, with those that the model shares under several names under all of them;
    safetensors' `save_model` keeps only one."""
    places = {_place(expected[key]): tensor for key, tensor in actual.items() if key in expected}
    shared = {
        key: places[_place(tensor)]
        for key, tensor in expected.items()
        if key not in actual and _place(tensor) in places
    }
    return {**actual, **shared}


def _place(tensor: torch.Tensor) -> tuple[int, ...]:
    """Return where the tensor's memory is; a tensor without elements shares none."""
    return (tensor.data_ptr() or id(tensor), tensor.storage_offset(), *tensor.shape, *tensor.stride())


def refuse_misfit(name: str, model: str, expected: State, actual: State) -> None:
    """Raise InvalidSource unless the weights are exactly those that the model expects."""
    faults = [f"missing {key}" for key in expected if key not in actual]
    faults += [f"unexpected {key}" for key in actual if key not in expected]
    for key in expected:
        if key in actual and actual[key].shape != expected[key].shape:
            faults.append(f"{key} is {list(actual[key].shape)}, the model's is {list(expected[key].shape)}")
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise InvalidSource(
            f"{name} does not fit the model of {model}: {'; '.join(faults[:5])}{more}; "
            "correct `source.arguments` or `source.checkpoint`"
        )


def refuse_nan(name: str, state: State, model: torch.nn.Module) -> None:
    """Raise InvalidSource if a tensor of the model's state holds NaN, or a parameter infinity; a buffer may,
    for example the -inf of a causal mask."""
    parameters = {key for key, _ in model.named_parameters(remove_duplicate=False)}
    for key, tensor in state.items():
        lost = ~torch.isfinite(tensor) if key in parameters else torch.isnan(tensor)
        if bool(lost.any()):
            raise InvalidSource(
                f"{name}: {key} holds NaN or infinite weights, so the answers are invalid: "
                "use a checkpoint from before the training diverged"
            )
