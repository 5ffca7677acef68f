"""Checks that the outputs of a graph from another source have the form of its baseline's, such as
probabilities."""

from collections.abc import Mapping

import numpy as np

from export.adding.fit import inputs_of
from export.errors import InvalidSource
from serve.base.errors import ModelFailed
from serve.base.tensor import Arrays
from serve.bundles.bundle import Bundle
from serve.bundles.meaning import Meaning
from serve.engine.session import Session
from serve.tasks.answer_form import find_change, read_meaning

# Number of generated rows.
_ROWS = 16


def require_form(session: Session, baseline: Session, bundle: Bundle) -> None:
    """Raise InvalidSource if the outputs of `session` have another form than those of `baseline`.

    `bundle` is the baseline's. The inputs are generated, because there is no data."""
    inputs = _make_inputs(bundle)
    try:
        expected, actual = baseline.run(inputs), session.run(inputs)
    except ModelFailed:
        # If the generated inputs do not suit the graph, nothing can be concluded.
        return
    quality = bundle.figures.quality
    known: Mapping[str, Meaning] = {item.name: item.meaning for item in quality.outputs}
    for number, (name, answer) in enumerate(expected.items()):
        meaning = known.get(name) or read_meaning(quality.task, answer, first=number == 0, labelled=True)
        if name not in known and meaning.form == "chances":
            # With so few generated rows, this may be chance.
            continue
        change = find_change(name, meaning, answer, actual[name], real=False)
        if change is not None:
            raise InvalidSource(
                f"{session.name} has outputs of another kind than {baseline.name}: {change}; variants of one "
                "model must be interchangeable: end the graph as the baseline does, for example in a softmax"
            )


def _make_inputs(bundle: Bundle) -> Arrays:
    """Generate zeros, and random numbers around 0 for float inputs."""
    random = np.random.default_rng(0)
    return {
        name: random.normal(0, 1, array.shape).astype(array.dtype) if array.dtype.kind == "f" else array
        for name, array in inputs_of(bundle.signature, _ROWS, bundle.sizes).items()
    }
