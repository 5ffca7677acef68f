"""Factory: a function of the user's builds the module, a checkpoint fills it."""

from pathlib import Path

import torch

from export.context import Trained
from export.errors import InvalidSource
from export.factories import call_factory
from export.recipe import FactorySource
from export.sources.files import read_file
from export.sources.module import require_sound
from export.sources.weights import State, complete_shared, read_weights, refuse_misfit, refuse_nan
from serve.bundle import sha256


def read_factory(source: FactorySource, folder: Path) -> Trained:
    """The module of the factory with the weights of the checkpoint. Raises InvalidSource unless every
    weight fits."""
    content = read_file(folder / source.checkpoint, "checkpoint")
    model = _call(source)
    require_sound(source.factory, model)
    expected = model.state_dict()
    state = complete_shared(expected, read_weights(source.checkpoint, content))
    refuse_misfit(source.checkpoint, source.factory, expected, state)
    refuse_nan(source.checkpoint, state)
    return Trained(
        name=source.factory, sha256=sha256(content), build=lambda: _build(source, state), assets={}
    )


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
    return model
