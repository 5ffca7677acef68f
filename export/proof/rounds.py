"""Rounds: how often a batch size is run to measure its speed, so that a model of any speed is measured in
bounded time. Pure."""

# CPU time for each variant, over all batch sizes and lengths; a few runs of one row are made whatever they
# take.
BUDGET_S = 20.0
# A batch size is run until it has taken this much for each variant, or this often.
ENOUGH_S = 0.4
MOST_ROUNDS = 200
# A median of fewer says little; more are run as long as there is time.
_FEWEST_ROUNDS = 7
# Fewer have no interval; so many are run of one row that is too slow for the budget.
_LEAST_ROUNDS = 3


def count_rounds(rows: int, row_s: float, left_s: float) -> int:
    """How many rounds of `rows` rows are run at least, after one that allocates, where the slowest variant
    takes about `row_s` for a row and has `left_s` left; 0: there is no time for this batch size."""
    fitting = int(left_s / (rows * row_s)) - 1 if row_s > 0 else _FEWEST_ROUNDS
    if fitting >= _FEWEST_ROUNDS:
        return _FEWEST_ROUNDS
    return max(fitting, _LEAST_ROUNDS) if rows == 1 else 0
