"""Writes the files of a training: the checkpoint that a recipe names, and inputs for a load test."""

import argparse
import io
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from serve.base.atomic_file import write_whole
from serve.base.tensor import Arrays


def parse_out(name: str, description: str, arguments: list[str]) -> Path:
    """Parse the command line of `export.recipes.<name>` and return the output folder."""
    model = name.replace("_", "-")
    parser = argparse.ArgumentParser(
        prog=f"python -m export.recipes.{name}",
        description=description,
        epilog=f"example: python -m export.recipes.{name} --out build/{model}",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build", model), help=f"where to write; default: build/{model}"
    )
    out: Path = parser.parse_args(arguments).out
    return out


def leave(out: Path, name: str, model: torch.nn.Module, inputs: Arrays) -> None:
    """Write `<name>.safetensors` and `inputs.npz` to the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    np.savez(packed, **dict(inputs))  # type: ignore[arg-type]
    write_whole(out / f"{name}.safetensors", safetensors.torch.save(model.state_dict()))
    write_whole(out / "inputs.npz", packed.getvalue())
