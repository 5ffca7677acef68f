"""Checkpoint: where a training stands, on disk after every epoch: a kill costs one epoch at most."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serve.base.whole_file import replacing

# Tensors and plain values only: it is read back without running anything.
State = dict[str, Any]


def write_checkpoint(path: Path, state: State) -> None:
    """Write whole or not at all. Raises OSError when the disk does not take it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # By a file of Python's: torch's own writer calls a full disk an internal error.
    with replacing(path) as file:
        torch.save(state, file)


def read_checkpoint(path: Path) -> State | None:
    """The state in the file; None: there is none that can be read, so training starts over."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises a dozen unrelated classes on what it cannot read
        return None
    return state


def random_state() -> State:
    """The generators of torch, numpy and Python, as a checkpoint holds them."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    numpy_state = (name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached)
    return {"torch": torch.get_rng_state(), "numpy": numpy_state, "python": random.getstate()}


def restore_random_state(state: State) -> None:
    """Let all generators go on from where `state` was taken."""
    name, keys, *rest = state["numpy"]
    torch.set_rng_state(state["torch"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])
