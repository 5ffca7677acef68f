"""The floor and a rollout's shadow have the same figures for the same answers."""

import asyncio
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from scipy.special import expit

from export.proof.output_quality import measure_output, read_meanings
from export.proof.quality import measure
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.meaning import Meaning, Rule, Task
from serve.counting.comparison import Comparison
from serve.engine.pairing import pair
from serve.engine.shadow_copy import Copy
from serve.tasks.compare_outputs import compare
from tests.serve.host import Host
from tests.serve.queues import rows
from tests.serve.shadows import Odd, compared, other

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(size=(40, 3)).astype(np.float32)
NUMBERS = RANDOM.normal(size=(40, 3)).astype(np.float32)
# Two boxes for each row, with a score and a class.
BOXES = np.zeros((40, 2, 6), np.float32)
BOXES[..., :2] = RANDOM.uniform(0, 50, (40, 2, 2))
BOXES[..., 2:4] = BOXES[..., :2] + 10
BOXES[..., 4] = RANDOM.uniform(0.1, 1, (40, 2))
BOXES[..., 5] = RANDOM.integers(0, 3, (40, 2))
# Task -> rules of the recipe, the baseline's answers and the variant's.
TASK_ANSWERS: dict[Task, tuple[dict[str, Rule], Any, Any]] = {
    "classification": ({}, NUMBERS, NUMBERS + NOISE),
    "token_classification": ({}, NUMBERS.reshape(10, 4, 3), (NUMBERS + NOISE).reshape(10, 4, 3)),
    "embedding": ({}, NUMBERS, NUMBERS + NOISE / 3),
    "regression": ({}, NUMBERS, NUMBERS + NOISE / 8),
    "binary": ({}, NUMBERS[:, :1], NUMBERS[:, :1] + NOISE[:, :1] / 2),
    "multilabel": ({}, expit(NUMBERS), expit(NUMBERS + NOISE / 2)),
    "segmentation": (
        {"y": Rule(kind="classes", axis=1)},
        NUMBERS.reshape(10, 3, 2, 2),
        (NUMBERS + NOISE).reshape(10, 3, 2, 2),
    ),
    "detection": ({}, BOXES, np.where(RANDOM.random((40, 1, 1)) < 0.3, np.roll(BOXES, 9, axis=0), BOXES)),
    "ranking": ({"y": Rule(kind="ranks", top=2)}, NUMBERS, NUMBERS + NOISE / 8),
    "tensors": ({"y": Rule(kind="numbers", abs=0.1, rel=0.2)}, NUMBERS, NUMBERS + NOISE / 8),
}


def paired(task: Task, meaning: Meaning, baseline: Any, candidate: Any) -> Comparison:
    """What a gateway counts of these rows, each a request of its own, by the meaning in the bundle."""
    stored = Meaning.model_validate_json(meaning.model_dump_json())
    spec = TensorSpec(name="y", datatype="FP32", shape=("batch", *baseline.shape[1:]))
    signature = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", 1)),), outputs=(spec,)
    )
    copies = [Copy({"x": np.zeros((1, 1), np.float32)}, {"y": row[None]}, 1, "id", None) for row in baseline]
    answers = [{"y": row[None]} for row in candidate]
    return pair(copies, answers, signature, task, {"y": stored}).outputs["y"].sums([1] * len(baseline))


@pytest.mark.parametrize("task", get_args(Task))
def test_each_task_has_one_agreement(task: Task) -> None:
    """The share in the bundle's outputs, which is also the floor's, is the shadow's for the same rows."""
    rules, baseline, candidate = TASK_ANSWERS[task]
    [meaning] = read_meanings(task, {"y": baseline}, labelled=False, named=True, rules=rules).values()
    counted = paired(task, meaning, baseline, candidate)
    agreement = measure_output(task, "y", meaning, baseline, candidate).agreement.value
    assert 0 < counted.disagreements < counted.pairs
    assert agreement == pytest.approx(1 - counted.disagreements / counted.pairs, rel=1e-12)
    quality = measure(task, baseline, candidate, None, seed=0, meaning=meaning)
    assert quality.agreement is None or quality.agreement.value == agreement


def answers_of(host: Host, requests: int) -> Any:
    """What a host answers to the requests that `compared` sends, [requests, classes]."""
    return np.concatenate([asyncio.run(host.run(rows(number)))[0]["y"] for number in range(requests)])


@pytest.mark.parametrize(
    "answer", [other, lambda y: 100 * y[:, ::-1], lambda y: y * np.nan], ids=["other", "clamped", "nan"]
)
def test_the_floor_and_the_shadow_have_one_divergence(answer: Callable[[Any], Any]) -> None:
    """The export's divergence and agreement equal those of a served shadow on the same requests."""
    pairs = compared(Odd(answer), 5).pairs
    quality = measure("classification", answers_of(Host(), 5), answers_of(Odd(answer), 5), None, seed=0)
    assert quality.kl
    assert quality.agreement
    assert pairs.kl.count == 5
    assert quality.kl.value == pytest.approx(pairs.kl.total / pairs.kl.count, rel=1e-12)
    assert quality.agreement.value == 1 - pairs.disagreements / pairs.pairs


def test_a_row_of_tokens_counts_once_in_both() -> None:
    """The divergence is the mean over rows of each row's mean over its tokens, in both."""
    random = np.random.default_rng(0)
    baseline, candidate = random.normal(size=(2, 2, 3, 4))
    baseline[1, 1:] = np.nan
    kl = compare("token_classification", baseline, candidate).sums([1, 1]).kl
    quality = measure("token_classification", baseline, candidate, None, seed=0)
    assert quality.kl
    assert quality.kl.value == pytest.approx(kl.total / kl.count, rel=1e-12)


def test_the_floor_and_the_shadow_have_one_cosine() -> None:
    """The export's cosine equals the shadow's, even with a zero vector."""
    baseline, candidate = np.random.default_rng(0).normal(size=(2, 6, 8))
    candidate[2] = 0
    cosine = compare("embedding", baseline, candidate).sums([1] * 6).cosine
    quality = measure("embedding", baseline, candidate, None, seed=0)
    assert quality.cosine
    assert quality.cosine.value == pytest.approx(cosine.total / cosine.count, rel=1e-12)


def test_the_cosine_leaves_out_what_all_embeddings_share() -> None:
    """The cosine is without the mean that all embeddings share: 0.71 for as much noise as signal. The shadow
    uses the same centre from the bundle."""
    random = np.random.default_rng(0)
    signal, noise = random.normal(size=(2, 400, 16))
    baseline, candidate = 100 + signal, 100 + signal + noise
    meaning = read_meanings("embedding", {"y": baseline}, labelled=False)["y"]
    quality = measure("embedding", baseline, candidate, None, seed=0, meaning=meaning)
    assert quality.cosine
    assert quality.cosine.value == pytest.approx(2**-0.5, abs=0.02)
    stored = Meaning.model_validate_json(meaning.model_dump_json())
    pairs = compare("embedding", baseline[:2], candidate[:2], stored)
    assert pairs.differ.all()
    each = compare("embedding", baseline, candidate, stored).sums([1] * 400).cosine
    assert quality.cosine.value == pytest.approx(each.total / each.count, rel=1e-12)
