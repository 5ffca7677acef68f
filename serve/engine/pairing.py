"""Put the answers of two variants to the same requests side by side. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import ModelFailed
from serve.base.tensor import Signature
from serve.bundles.meaning import Meaning, Task
from serve.engine.batch import Outputs
from serve.engine.shadow_copy import Copy
from serve.tasks.answer_form import guess_meaning
from serve.tasks.compare_outputs import Differences, compare
from serve.tasks.join_outputs import join_outputs

_MASK = "attention_mask"


class Paired(NamedTuple):
    """The outputs of several requests as rows, of baseline and candidate, and their differences."""

    mine: Outputs
    theirs: Outputs
    outputs: dict[str, Differences]
    meanings: dict[str, Meaning]


def pair(
    batch: Sequence[Copy],
    answers: Sequence[Outputs],
    signature: Signature,
    task: Task,
    meanings: Mapping[str, Meaning],
) -> Paired:
    """Compare these answers with the baseline's answers in the copies; `meanings` may lack some outputs."""
    mine = join_outputs(meanings, _join([_blank_padding(copy, signature) for copy in batch], signature))
    theirs = join_outputs(meanings, _join(answers, signature))
    known = {name: meanings.get(name) or guess_meaning(task, output) for name, output in mine.items()}
    outputs = {name: compare(task, output, theirs[name], known[name]) for name, output in mine.items()}
    return Paired(mine, theirs, outputs, known)


def require_whole(batch: Sequence[Copy], answers: Sequence[Outputs]) -> None:
    """Raise ModelFailed unless the answers have a row for every row of the baseline's answers."""
    for copy, answer in zip(batch, answers, strict=True):
        for name, output in copy.outputs.items():
            if name not in answer or answer[name].shape[:1] != output.shape[:1]:
                raise ModelFailed(f"{name}: the output does not have one row for each input row")


def _join(answers: Sequence[Outputs], signature: Signature) -> Outputs:
    """Concatenate the outputs of several requests; an answer without a batch dimension is one row."""
    joined: dict[str, NDArray[np.generic]] = {}
    for name in answers[0]:
        outputs = [answer[name] if signature.batches else answer[name][None] for answer in answers]
        joined[name] = outputs[0] if len(outputs) == 1 else np.concatenate(_pad(outputs))
    return joined


def _pad(outputs: Sequence[NDArray[np.generic]]) -> Sequence[NDArray[np.generic]]:
    """Floats of one size in every dimension, such as the number of boxes, with NaN where there are none."""
    shapes = {output.shape[1:] for output in outputs}
    if len(shapes) == 1 or outputs[0].dtype.kind != "f" or len({len(shape) for shape in shapes}) > 1:
        return outputs
    longest = np.max([*shapes], axis=0)
    return [
        np.pad(
            output,
            [(0, 0), *((0, size - have) for size, have in zip(longest, output.shape[1:], strict=True))],
            constant_values=np.nan,
        )
        for output in outputs
    ]


def _blank_padding(copy: Copy, signature: Signature) -> Outputs:
    """The baseline's answer with NaN at padding tokens, which are not compared."""
    mask = copy.arrays.get(_MASK)
    if mask is None or mask.ndim != 2 or np.all(mask):
        return copy.outputs
    tokens = signature.input_by_name[_MASK].shape[1]
    blanked = dict(copy.outputs)
    for spec in signature.outputs:
        output = blanked[spec.name]
        if isinstance(tokens, str) and spec.shape[1:2] == (tokens,) and output.dtype.kind == "f":
            kept = mask.reshape(*mask.shape, *(1,) * (output.ndim - 2)) != 0
            blanked[spec.name] = np.where(kept, output, np.nan)
    return blanked
