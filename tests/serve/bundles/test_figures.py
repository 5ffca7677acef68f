"""The figures that are derived from the measured ones."""

import pytest

from serve.bundles.figures import Estimate, Quality, Speed, SpeedPoint, find_common_rows


def speed(*points: tuple[int, float, int | None]) -> Speed:
    """Measured points: rows, CPU ms of the run, tokens."""
    same = Estimate(value=1, low=1, high=1)
    return Speed(
        threads=1,
        session_bytes=0,
        points=tuple(
            SpeedPoint(
                rows=rows,
                tokens=tokens,
                samples=1,
                cpu_p50_ms=cpu_ms,
                wall_p50_ms=cpu_ms,
                wall_p90_ms=None,
                wall_p99_ms=None,
                speedup=same,
            )
            for rows, cpu_ms, tokens in points
        ),
        knee_rows=1,
        warning=None,
    )


# A run costs 1 ms, and each row 1 ms more.
STEADY = speed((1, 2, None), (4, 5, None), (16, 17, None), (64, 65, None))


@pytest.mark.parametrize(("call_ms", "rows"), [(0, 16), (2, 64), (1000, 64)])
def test_the_dearer_a_call_the_more_rows_are_full(call_ms: float, rows: int) -> None:
    """The number of full rows grows with the cost of a call."""
    assert STEADY.full_rows(call_ms) == rows


def test_a_model_that_batching_does_not_help_is_full_with_one() -> None:
    """If each row costs the same in a batch, one row is full."""
    assert speed((1, 2, None), (8, 16, None), (64, 128, None)).full_rows(0) == 1


def test_a_larger_batch_that_costs_more_a_row_is_never_full() -> None:
    """A batch that costs more per row than a smaller one is not full."""
    assert speed((1, 2, None), (8, 8, None), (64, 128, None)).full_rows(0) == 8


def test_of_several_lengths_the_largest_batch_that_pays_is_full() -> None:
    """The full batch is the largest one that pays at any measured length: 32 rows here, 1 without texts of
    16."""
    short = ((1, 2.0, 16), (8, 10.0, 16), (32, 34.0, 16))
    long = ((1, 20.0, 128), (8, 160.0, 128), (32, 640.0, 128))
    assert speed(*short, *long).full_rows(0) == 32
    assert speed(*long).full_rows(0) == 1


def test_the_common_batch_was_measured_of_all_at_every_length() -> None:
    """The common batch was measured for all variants at every length; variants without figures are
    ignored."""
    both = speed((1, 1, 16), (8, 8, 16), (32, 32, 16), (1, 5, 128), (8, 40, 128))
    assert find_common_rows([both, speed((1, 1, 16), (8, 8, 16), (16, 16, 16)), speed()]) == 8
    assert find_common_rows([STEADY, speed((1, 1, None))]) == 1
    assert find_common_rows([speed()]) == 1


def test_reads_the_divergence_of_an_older_bundle() -> None:
    """The old key `kl_divergence` is read as `kl`."""
    figure = {"value": 0.1, "low": 0.05, "high": 0.2}
    older = {"task": "classification", "rows": 9, "kl_divergence": figure}
    assert Quality.parse(older, "bundle.json").kl == Estimate(value=0.1, low=0.05, high=0.2)
