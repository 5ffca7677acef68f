"""Events that come in bursts count as fewer, at each length of burst."""

import numpy as np
import pytest

from serve.rollout.evidence.blocks import COLUMNS, SCALES, close, closing, dispersion


def blocks(candidate: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The sums over all seconds of [second]."""
    total, opened = np.zeros((SCALES, COLUMNS)), np.zeros((SCALES, 2))
    for second, events in enumerate(zip(candidate, both, strict=True), 1):
        opened = opened + np.array(events, float)
        closes = closing(np.array(float(second)))[:, None]
        total, opened = total + close(opened) * closes, np.where(closes, 0.0, opened)
    return total


def test_every_scale_holds_all_that_its_blocks_hold() -> None:
    """At each block length from 1 to 64 s, the blocks together hold the same events."""
    total = blocks(np.ones(64), np.full(64, 3.0))
    assert total[:, 0].tolist() == [64, 32, 16, 8, 4, 2, 1]
    assert (total[:, 2:4] == [64, 192]).all()


def test_labels_drawn_one_by_one_are_not_dispersed() -> None:
    """An hour of independent labels has a dispersion of 1 +- 0.3."""
    rng = np.random.default_rng(1)
    both = rng.poisson(4, 3600)
    assert dispersion(blocks(rng.binomial(both, 0.5), both)) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("lasts_s", [4, 16, 32])
def test_what_lasts_is_seen_at_its_length(lasts_s: int) -> None:
    """Events that come in stretches give a dispersion near the stretch's number of events."""
    rng = np.random.default_rng(2)
    both = np.full(3600, 2.0)
    whose = np.repeat(rng.random(3600 // lasts_s) < 0.5, lasts_s)
    found = dispersion(blocks(np.where(np.resize(whose, 3600), 2.0, 0.0), both))
    assert 0.5 * 2 * lasts_s < found < 3 * 2 * lasts_s
