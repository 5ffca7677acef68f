"""The floor and a rollout's shadow have the same figures for the same answers."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from export.proof.output_quality import read_meanings
from export.proof.quality import measure
from serve.bundles.meaning import Meaning
from serve.tasks.compare_outputs import compare
from tests.serve.host import Host
from tests.serve.queues import rows
from tests.serve.shadows import Odd, compared, other


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
