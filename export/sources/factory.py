"""Reads a model from a factory function and a checkpoint."""

import inspect
import os
from pathlib import Path

import numpy as np
import torch

from export.artifacts import Trained
from export.data.tokenizer import NEEDED
from export.errors import InvalidSource
from export.factories import call_factory
from export.recipe import FactorySource
from export.sandbox.opened_files import digest_files, record_reads
from export.sources.companion_files import complete, read_labels, read_tokenizer
from export.sources.files import read_file
from export.sources.module import require_sound
from export.sources.weights import State, complete_shared, read_weights, refuse_misfit, refuse_nan
from serve.bundles.bundle import sha256
from serve.bundles.meaning import Task


def read_factory(source: FactorySource, folder: Path, task: Task) -> Trained:
    """Return the factory's module with the weights of the checkpoint, its tokenizer and its labels. Raises
    InvalidSource unless every weight fits."""
    checkpoint = folder / source.checkpoint
    content = read_file(checkpoint, "checkpoint")
    with record_reads([folder, Path.cwd()]) as opened:
        model = _call(source)
    opened.discard(Path(os.path.abspath(checkpoint)))
    require_sound(source.factory, model)
    expected = model.state_dict()
    state = complete_shared(expected, read_weights(source.checkpoint, content))
    refuse_misfit(source.checkpoint, source.factory, expected, state)
    refuse_nan(source.checkpoint, state, model)
    tokenizer = read_tokenizer(source, folder, _inputs_of(model))
    digest = sha256(content)
    if opened:  # what the factory reads, such as a file of settings, is part of the model
        digest = sha256(f"{digest} {digest_files(opened, folder)}".encode())
    trained = Trained(name=source.factory, sha256=digest, build=lambda: _build(source, state), assets={})
    return complete(trained, tokenizer, read_labels(source, folder, task))


def _inputs_of(model: torch.nn.Module) -> dict[str, np.dtype[np.signedinteger]]:
    parameters = inspect.signature(model.forward).parameters.values()
    names = [parameter.name for parameter in parameters]
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        names += NEEDED
    return dict.fromkeys(names, np.dtype(np.int64))


def _build(source: FactorySource, state: State) -> torch.nn.Module:
    model = _call(source)
    model.load_state_dict(dict(state))
    return model.eval()


def _call(source: FactorySource) -> torch.nn.Module:
    model = call_factory(source.factory, source.arguments)
    if not isinstance(model, torch.nn.Module):
        raise InvalidSource(
            f"{source.factory} returned a {type(model).__name__}; a model's factory returns a torch.nn.Module"
        )
    for key, tensor in model.state_dict().items():
        if tensor.is_meta:
            raise InvalidSource(
                f"{source.factory}: {key} has no values (device meta); build the module on the processor"
            )
    return model
