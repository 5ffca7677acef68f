"""Snapshots keep earlier sums and share the error probability."""

import numpy as np

from serve.rollout.evidence import snapshots


def noted(seconds: int) -> np.ndarray:
    """Return the snapshots after `seconds` with one event of each variant and ten requests a second."""
    kept = np.zeros((len(snapshots.EVERY_S), snapshots.KEPT, snapshots.COLUMNS))
    for second in range(1, seconds + 1):
        kept = snapshots.note(kept, np.array(float(second)), second * np.array([1.0, 1.0, 10.0]))
    return kept


def test_what_came_since_a_mark_is_told() -> None:
    """After 200 seconds the snapshots are at 64, 128 and 192 s."""
    window, parts = snapshots.since(noted(200), 200 * np.array([1.0, 1.0, 10.0]))
    known = np.isfinite(parts)
    assert sorted(window[known][:, 1]) == [8, 72, 136]


def test_all_parts_together_are_no_more_than_the_odds() -> None:
    """The odds of all snapshots together are at most 0.5."""
    _, parts = snapshots.since(noted(20_000), np.full(3, 1e6))
    assert np.exp(parts[np.isfinite(parts)]).sum() <= 0.5


def test_the_last_minutes_are_known_after_a_day() -> None:
    """After a day the newest snapshot is at most 64 s old, and the oldest more than half a day."""
    kept = np.zeros((len(snapshots.EVERY_S), snapshots.KEPT, snapshots.COLUMNS))
    for second in range(64, 86_401, 64):
        kept = snapshots.note(kept, np.array(float(second)), np.full(3, float(second)))
    seconds = kept[..., 0][kept[..., 0] > 0]
    assert 86_400 - seconds.max() <= 64
    assert seconds.min() < 86_400 / 2
