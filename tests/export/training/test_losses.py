"""Each loss is 0 for equal answers, follows its formula otherwise, and ignores padding."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax

from export.training.losses import (
    attention_loss,
    classes_loss,
    embeddings_loss,
    hidden_loss,
    logits_loss,
    numbers_loss,
    similarities_loss,
)
from serve.bundles.meaning import Meaning
from serve.tasks.closeness import cosine_of, divergence

ONE = torch.tensor([[1.0, 2.0, 4.0], [0.0, -1.0, 1.0]])
OTHER = torch.tensor([[2.0, 1.0, 0.0], [1.0, 1.0, 3.0]])
# Of two rows with two tokens, the second token of the second row is padding.
MASK = torch.tensor([[1, 1], [1, 0]])


def tokens(seed: int, *shape: int) -> torch.Tensor:
    """Return random numbers."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_logits_are_scaled_divergences(temperature: float) -> None:
    """The loss is T^2 KL(teacher || student), as scipy computes it."""
    student, teacher = (softmax(side.numpy() / temperature, axis=1) for side in (ONE, OTHER))
    expected = temperature**2 * rel_entr(teacher, student).sum(1).mean()
    assert float(logits_loss(ONE, OTHER, temperature)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shares", [False, True], ids=["scores", "shares"])
def test_logits_have_the_divergence_that_the_floor_and_the_shadow_have(shares: bool) -> None:
    """The divergence equals that of the floor and the shadow, for scores and for shares."""
    student, teacher = (side.softmax(1) if shares else side for side in (ONE, OTHER))
    meaning = Meaning(kind="classes", form="shares" if shares else "plain")
    expected = divergence(meaning, *(side.numpy().astype(np.float64) for side in (teacher, student)))
    assert float(logits_loss(student, teacher, 1.0)) == pytest.approx(expected.mean(), rel=1e-5)


def test_embeddings_have_the_cosine_that_the_floor_and_the_shadow_have() -> None:
    """The loss is 1 minus the mean cosine of the floor and the shadow."""
    cosine = cosine_of(*(side.numpy().astype(np.float64) for side in (ONE, OTHER)))
    assert float(embeddings_loss(ONE, OTHER)) == pytest.approx(1 - cosine.mean(), rel=1e-5)


def test_logits_keep_their_gradient_at_any_temperature() -> None:
    """The gradient has the same size at temperatures of 20 and 40."""
    sizes = []
    for temperature in (20.0, 40.0):
        scores = ONE.clone().requires_grad_()
        logits_loss(scores, OTHER, temperature).backward()  # type: ignore[no-untyped-call]
        assert scores.grad is not None
        sizes.append(float(scores.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_labels_ignore_what_does_not_count() -> None:
    """Labels of -100 are ignored, and a batch of them has a loss of 0."""
    scores = tokens(0, 2, 2, 3)
    labels = torch.tensor([[1, -100, 0], [2, -100, 0]])
    expected = torch.nn.functional.cross_entropy(scores[:, 0], labels[:, 0])
    assert torch.allclose(classes_loss(scores, labels), expected)
    assert float(classes_loss(scores, torch.full((2, 2), -100))) == 0


def test_embeddings_are_compared_by_direction() -> None:
    """The loss is 1 minus the cosine and does not depend on the length."""
    cosines = (ONE * OTHER).sum(1) / ONE.norm(dim=1) / OTHER.norm(dim=1)
    assert torch.allclose(embeddings_loss(ONE * 7, OTHER), 1 - cosines.mean())


def test_similarities_are_compared_pair_by_pair() -> None:
    """The loss of two rows is the squared difference of their cosines, and a rotation has none."""
    cosines = [float(torch.cosine_similarity(side[0], side[1], dim=0)) for side in (ONE, OTHER)]
    assert float(similarities_loss(ONE, OTHER)) == pytest.approx((cosines[0] - cosines[1]) ** 2, rel=1e-4)
    assert float(similarities_loss(ONE, ONE[:, [2, 0, 1]])) == pytest.approx(0, abs=1e-6)


def test_hidden_states_are_compared_relative_to_the_teachers() -> None:
    """Twice the teacher's state gives a loss of 1, at any scale."""
    states = tokens(1, 2, 2, 4)
    assert float(hidden_loss(2 * states, states)) == pytest.approx(1)
    assert float(hidden_loss(200 * states, 100 * states, MASK)) == pytest.approx(1)


def test_padding_does_not_count() -> None:
    """Values at padding tokens do not change any loss."""
    one, other = tokens(2, 2, 2, 3), tokens(3, 2, 2, 3)
    maps = (tokens(4, 2, 5, 2, 2), tokens(5, 2, 5, 2, 2))
    before = _masked(one, other, maps)
    one[1, 1], maps[0][1, :, 1] = 99, 99
    assert _masked(one, other, maps) == before


def _masked(one: torch.Tensor, other: torch.Tensor, maps: tuple[torch.Tensor, torch.Tensor]) -> list[float]:
    return [
        float(loss)
        for loss in (
            logits_loss(one, other, 2.0, MASK),
            hidden_loss(one, other, MASK),
            attention_loss(*maps, MASK),
        )
    ]


def test_attention_maps_are_compared_query_by_query() -> None:
    """Attention to another key gives a loss of 2."""
    here, there = (torch.zeros(1, 1, 2, 2) for _ in range(2))
    here[0, 0, :, 0], there[0, 0, :, 1] = 1, 1
    assert float(attention_loss(here, there, None)) == 2


def test_shares_are_taken_for_what_they_are() -> None:
    """Shares give the same loss as their logits."""
    one, other = ONE.softmax(-1), OTHER.softmax(-1)
    expected = float(logits_loss(ONE, OTHER, 2.0))
    for student, teacher in ((one, other), (one, OTHER), (ONE, other)):
        assert float(logits_loss(student, teacher, 2.0)) == pytest.approx(expected, rel=1e-5)
    labels = torch.tensor([2, 0])
    assert float(classes_loss(one, labels)) == pytest.approx(float(classes_loss(ONE, labels)), rel=1e-5)


def test_a_share_of_nothing_has_a_gradient() -> None:
    """A share of 0 has a finite gradient."""
    shares = torch.tensor([[1.0, 0.0]], requires_grad=True)
    classes_loss(shares, torch.tensor([1])).backward()  # type: ignore[no-untyped-call]
    assert shares.grad is not None
    assert torch.isfinite(shares.grad).all()


def test_numbers_are_apart_by_their_variance() -> None:
    """The loss is the squared difference divided by the variance: 1 and 1/4 give a mean of 5/8."""
    numbers, teacher = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])
    assert float(numbers_loss(numbers, teacher, torch.tensor([1.0, 4.0]))) == pytest.approx(5 / 8)
    one = numbers_loss(torch.tensor([[3.0], [5.0]]), torch.tensor([[1.0], [5.0]]), torch.tensor([2.0]))
    assert float(one) == pytest.approx(1 / 2)


def test_numbers_of_padding_do_not_count() -> None:
    """Numbers at padding tokens do not change the loss."""
    numbers, teacher = tokens(0, 2, 2, 1), tokens(1, 2, 2, 1)
    padded = numbers.clone()
    padded[1, 1] = 99
    spread = torch.ones(1)
    assert numbers_loss(padded, teacher, spread, MASK) == numbers_loss(numbers, teacher, spread, MASK)
