"""Form: whether the outputs of a graph from elsewhere are what its baseline's are, such as shares."""

from collections.abc import Mapping

import numpy as np

from export.adding.fit import inputs_of
from export.errors import InvalidSource
from serve.base.errors import ModelFailed
from serve.base.tensor import Arrays
from serve.bundles.bundle import Bundle
from serve.bundles.figures import Meaning
from serve.engine.meaning import find_change, read_meaning
from serve.engine.session import Session

# Made inputs of so many rows.
_ROWS = 16


def require_form(session: Session, baseline: Session, bundle: Bundle) -> None:
    """Raise InvalidSource where the outputs of `session` have another form than those of the `baseline`,
    whose `bundle` this is; on inputs that are made, as nobody gave any."""
    inputs = _make_inputs(bundle)
    try:
        wanted, came = baseline.run(inputs), session.run(inputs)
    except ModelFailed:
        # Nothing can be told of a graph that such inputs do not suit.
        return
    quality = bundle.figures.quality
    known: Mapping[str, Meaning] = {item.name: item.meaning for item in quality.outputs}
    for number, (name, answer) in enumerate(wanted.items()):
        meaning = known.get(name) or read_meaning(quality.task, answer, first=number == 0, labelled=True)
        if name not in known and meaning.form == "chances":
            # Of a few made rows that is an accident.
            continue
        change = find_change(name, meaning, answer, came[name], real=False)
        if change is not None:
            raise InvalidSource(
                f"{session.name} does not say what {baseline.name} says: {change}; variants of one model are "
                "interchangeable: let it end as the baseline ends, such as in a softmax"
            )


def _make_inputs(bundle: Bundle) -> Arrays:
    """Zeros, and where there are floats, numbers around 0."""
    random = np.random.default_rng(0)
    return {
        name: random.normal(0, 1, array.shape).astype(array.dtype) if array.dtype.kind == "f" else array
        for name, array in inputs_of(bundle.signature, _ROWS, bundle.sizes).items()
    }
