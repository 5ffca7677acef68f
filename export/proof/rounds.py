"""Decides how often a batch size runs in a speed measurement, so that models of any speed take bounded time.
Pure functions."""

# CPU time for each variant over all batch sizes and lengths; a few runs of one row are made in any case.
BUDGET_S = 20.0
# A batch size runs until it has taken this CPU time for each variant, or this number of rounds.
ENOUGH_S = 0.4
MOST_ROUNDS = 200
# The minimum for a reliable median; more rounds run while there is time.
FEWEST_ROUNDS = 7
# Fewer rounds give no interval; this number is run for one row if it is too slow for the budget.
_LEAST_ROUNDS = 3


def count_rounds(rows: int, row_s: float, left_s: float) -> int:
    """Return the minimum number of rounds with `rows` rows, after one that allocates memory.

    The slowest variant takes about `row_s` per row and has `left_s` left. 0 means that there is no time for
    this batch size."""
    fitting = int(left_s / (rows * row_s)) - 1 if row_s > 0 else FEWEST_ROUNDS
    if fitting >= FEWEST_ROUNDS:
        return FEWEST_ROUNDS
    return max(fitting, _LEAST_ROUNDS) if rows == 1 else 0
