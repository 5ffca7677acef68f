"""Copies of inputs that differ in length, and of models that take one input at a time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from serve.base.settings import Settings
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.counting.rollout_counter import RolloutCounter
from serve.counting.shadow_results import ShadowResults
from serve.counting.tally import Tally
from serve.engine.batch import Joining
from serve.engine.catalog import LoadedVariant
from serve.engine.placement import Run
from serve.engine.queue import Queue
from serve.engine.shadow import Shadow
from serve.engine.shadow_copy import Copy
from serve.engine.variant import ServedVariant
from tests.serve.clock import run
from tests.serve.host import Host
from tests.serve.watched_model import watch


class Marking(Host):
    """Answers `y` [..., 2]: the second class where `x` is 9, else the first."""

    async def run(self, arrays: Arrays) -> Run:
        """Run the arrays as `Host` does."""
        x = np.asarray(arrays["x"])
        self.sizes.append(len(x))
        return {"y": np.stack([x != 9, x == 9], axis=-1).astype(np.float32)}, 1.0


def signature_of(*shape: str | int) -> Signature:
    """Return a signature with integers as input and two scores for each of them as output."""
    x = TensorSpec(name="x", datatype="INT64", shape=shape)
    return Signature(inputs=(x,), outputs=(TensorSpec(name="y", datatype="FP32", shape=(*shape, 2)),))


def compared(
    host: Host, signature: Signature, inputs: list[Any], expected: list[Any], pads: Mapping[str, int]
) -> ShadowResults:
    """Return the copies of these inputs, for which the baseline's answer is `expected`."""

    async def scenario() -> ShadowResults:
        settings = Settings()
        joining = Joining(signature=signature, full_rows=8, pads=pads)
        version = LoadedVariant(digest="0" * 64, folder="nowhere", host=None, full_rows=8)
        variant = ServedVariant("light", version, host, Queue(host, joining, settings, Tally()))
        shadow = Shadow(variant, "token_classification", settings)
        shadow.counter = RolloutCounter(watch())
        for x, marked in zip(inputs, expected, strict=True):
            y = np.stack([np.array(marked) == 0, np.array(marked) == 1], axis=-1).astype(np.float32)
            arrays = {"x": np.array(x, np.int64)}
            shadow.offer(Copy(arrays, {"y": y}, joining.rows_of(arrays), "a", None), 0)
        await asyncio.sleep(60)
        shadow.close()
        await variant.retire()
        return shadow.counter.copies

    return run(scenario())


def test_copies_of_different_lengths_share_a_run_and_are_compared_at_their_own() -> None:
    """Copies of different lengths share a padded run, and the padding is cut off before the comparison."""
    host = Marking()
    copies = compared(
        host,
        signature_of("batch", "tokens"),
        [[[1, 9, 1]], [[1, 1, 1, 9, 1]], [[1, 1]]],
        [[[0, 1, 0]], [[0, 0, 0, 1, 0]], [[0, 1]]],
        {"x": 9},
    )
    assert (host.sizes, copies.pairs.pairs, copies.pairs.disagreements) == ([3], 10, 1)


def test_a_model_without_a_batch_takes_one_copy_at_a_time() -> None:
    """A model without a batch dimension gets one copy at a time, and each token is a pair."""
    host = Marking()
    copies = compared(host, signature_of(3), [[1, 9, 1], [1, 1, 1]], [[0, 1, 0], [0, 0, 1]], {})
    assert (len(host.sizes), copies.pairs.pairs, copies.pairs.disagreements) == (2, 6, 1)
