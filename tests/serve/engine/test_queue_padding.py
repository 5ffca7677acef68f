"""Texts of similar length share a run, and the padding does not appear in the answers."""

import asyncio

import numpy as np
import pytest

from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.engine.batch import Outputs
from serve.engine.placement import Run
from serve.engine.queue import Queue
from tests.serve.clock import run
from tests.serve.host import Host
from tests.serve.queues import ask, queue_of

IDS = TensorSpec(name="ids", datatype="INT64", shape=("batch", "tokens"))
MASK = TensorSpec(name="mask", datatype="INT64", shape=("batch", "tokens"))
OUTPUTS = (
    TensorSpec(name="vector", datatype="INT64", shape=("batch", 2)),
    TensorSpec(name="hidden", datatype="INT64", shape=("batch", "tokens")),
    TensorSpec(name="attention", datatype="INT64", shape=("batch", 2, "tokens", "tokens")),
)
PAD = 9


class Reader(Host):
    """Answers with its input, in every form that a model of texts has."""

    def __init__(self) -> None:
        super().__init__(run_s=1)
        self.seen: list[Arrays] = []

    async def run(self, arrays: Arrays) -> Run:
        self.seen.append(arrays)
        ids, mask = arrays["ids"].astype(np.int64), arrays["mask"].astype(np.int64)
        await super().run({"x": ids})
        pairs = (ids * mask)[:, :, None] * np.ones_like(ids)[:, None, :]
        outputs: Outputs = {
            "vector": np.stack([(ids * mask).sum(1), mask.sum(1)], axis=1),
            "hidden": ids * mask,
            "attention": np.stack([pairs, pairs], axis=1),
        }
        return outputs, 0.0


def texts(*lengths: int) -> Arrays:
    """Return padded rows of these lengths, in which each token equals the length of its text."""
    longest = max(lengths)
    mask = np.arange(longest) < np.array(lengths)[:, None]
    ids = np.where(mask, np.array(lengths)[:, None], PAD)
    return {"ids": ids.astype(np.int64), "mask": mask.astype(np.int64)}


def queue(host: Host, **settings: int) -> Queue:
    signature = Signature(inputs=(IDS, MASK), outputs=OUTPUTS)
    return queue_of(host, signature=signature, pads={"ids": PAD, "mask": 0}, **settings)


def sizes_of(*lengths: int) -> list[int]:
    """How many texts of these lengths share each run, after a first that keeps the host busy."""

    async def scenario() -> list[int]:
        host = Reader()
        busy = queue(host)
        await asyncio.gather(*(ask(busy, texts(length)) for length in (1, *lengths)))
        return host.sizes[1:]

    return run(scenario())


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ((1, 16, 7), [3]),
        ((17, 32), [2]),
        ((16, 17), [1, 1]),
        ((64, 33, 128), [2, 1]),
    ],
    ids=["all short", "within a factor of two", "at the edge", "longer"],
)
def test_texts_of_nearly_one_length_share_a_run(lengths: tuple[int, ...], sizes: list[int]) -> None:
    """Texts share a run if at most half of it is padding; up to 16 tokens they always do."""
    assert sizes_of(*lengths) == sizes


def test_short_rows_are_filled_up_with_what_the_tokenizer_says() -> None:
    """Short rows are padded with the tokenizer's token to the longest row of the run."""

    async def scenario() -> Arrays:
        host = Reader()
        busy = queue(host)
        await asyncio.gather(*(ask(busy, texts(length)) for length in (1, 3, 5)))
        return host.seen[1]

    seen = run(scenario())
    assert seen["ids"].tolist() == [[3, 3, 3, PAD, PAD], [5] * 5]
    assert seen["mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]


def test_everybody_gets_an_answer_of_the_own_length() -> None:
    """Answers in a shared run are cut to the request's own length and equal those alone."""

    async def scenario() -> list[Outputs]:
        host = Reader()
        busy = queue(host)
        asked = [ask(busy, texts(*lengths)) for lengths in ((1,), (3,), (5, 2), (4,))]
        together = [(await each).outputs for each in asked[1:]]
        alone = [(await ask(queue(Reader()), texts(*lengths))).outputs for lengths in ((3,), (5, 2), (4,))]
        assert len(host.sizes) == 2
        return [*together, *alone]

    answers = run(scenario())
    for together, alone in zip(answers[:3], answers[3:], strict=True):
        for name, expected in alone.items():
            np.testing.assert_array_equal(together[name], expected)


def test_a_large_request_comes_back_whole_whoever_shared_its_pieces() -> None:
    """The pieces of a large request are cut to its own length."""

    async def scenario() -> Outputs:
        busy = queue(Reader(), max_run_rows=2)
        large, _ = ask(busy, texts(3, 3, 3, 3)), ask(busy, texts(9))
        return (await large).outputs

    assert run(scenario())["hidden"].tolist() == [[3, 3, 3]] * 4
