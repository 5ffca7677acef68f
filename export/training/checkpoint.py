"""Saves the state of a training after every epoch, so that an interruption costs at most one epoch."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serve.base.atomic_file import replacing

# Only tensors and plain values, so that reading it runs no code.
State = dict[str, Any]


def write_checkpoint(path: Path, state: State) -> None:
    """Write completely or not at all. Raises OSError if the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # torch's own writer reports a full disk as an internal error, so a Python file is used.
    with replacing(path) as file:
        torch.save(state, file)


def read_checkpoint(path: Path) -> State | None:
    """Read the state; None if there is no readable file, in which case training starts over."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises a dozen unrelated classes on what it cannot read
        return None
    return state


def random_state() -> State:
    """Return the states of the generators of torch, numpy and Python."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    numpy_state = (name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached)
    return {"torch": torch.get_rng_state(), "numpy": numpy_state, "python": random.getstate()}


def restore_random_state(state: State) -> None:
    """Restore the states of all generators."""
    name, keys, *rest = state["numpy"]
    torch.set_rng_state(state["torch"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])
