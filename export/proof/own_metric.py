"""Measures variants by a function of the user, `metric` of a recipe, with paired bootstrap intervals.

The function takes every output by its name, [rows, ...], and the labels, and returns one value per row,
[rows], or one figure of all rows. Where answers are decisions, such as classes, the draws include rows that
were not observed: on them, one of the two variants gives the answer of another row."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.labels import Labels
from export.errors import InvalidData, reason_of
from export.factories import import_function
from export.proof.bootstrap import CONFIDENCE, Floats, Interval, resample
from export.proof.held_out import Answers
from export.proof.output_quality import compare_all
from export.quality_limits import MetricFunction
from export.sandbox.foreign_code import limited
from serve.bundles.figures import MetricFigure
from serve.bundles.meaning import Meaning

Rows = NDArray[np.int64]
# How often a figure of all rows is computed for each variant, as far as CPU time allows.
_DRAWS = (1000, 300, 100)
_BUDGET_S = 30.0
# Rules whose answers change as a whole, and rarely.
_DECISIONS = ("classes", "labels", "boxes", "ranks", "exact")


class PairedMetric:
    """The recipe's metric on the held-out rows, for the baseline and its variants."""

    def __init__(
        self, source: MetricFunction, expected: Answers, labels: Labels | None, meaning: Meaning, seed: int
    ) -> None:
        """Compute the metric of the baseline's answers, `expected`; `meaning` is that of their first output.

        Raises InvalidSource if there is no such function, and InvalidData if it fails, is too slow, is
        random, or returns something else than one finite number, or one per row."""
        self._source = source
        self._function = import_function("metric", source.function)
        self._expected = expected
        self._labels = labels
        self._seed = seed
        self._rows = len(next(iter(expected.values())))
        self._partners = _find_partners(meaning, next(iter(expected.values())), seed)
        values = self._rate(expected, labels)
        # The first call may import packages, so the second one is timed.
        started_s = time.process_time()
        again = self._rate(expected, labels)
        if values.shape != again.shape or not np.allclose(values, again):
            raise InvalidData(
                f"metric {source.function} returned other numbers for the same answers; seed what it draws"
            )
        self._draws = None if values.ndim else self._count_draws(time.process_time() - started_s)
        self.baseline = self._figure(float(values.mean()), 0.0, (0.0, 0.0))

    def measure(self, actual: Answers) -> MetricFigure:
        """Compare the answers of a variant with the baseline's. Raises InvalidData."""
        values = self._rate(actual, self._labels)
        if (self._draws is None) != bool(values.ndim):
            raise InvalidData(
                f"metric {self._source.function} returned {_describe(values)} for this variant and not for "
                "the baseline; return always one number, or always one per row"
            )
        value = float(values.mean())
        interval = self._resample_rows(actual) if self._draws is None else self._resample_figure(actual)
        return self._figure(value, value - self.baseline.value, interval)

    def _figure(self, value: float, change: float, interval: Interval) -> MetricFigure:
        low, high = min(interval[0], change), max(interval[1], change)
        return MetricFigure(
            value=value,
            change=change,
            low=low,
            high=high,
            function=self._source.function,
            better=self._source.better,
            draws=self._draws,
        )

    def _rate(self, outputs: Answers, labels: Labels | None) -> Floats:
        """Call the function; the result is one number, [], or one per row, [rows]."""
        place, rows = f"metric {self._source.function}", len(next(iter(outputs.values())))
        given = {name: _read_only(output) for name, output in outputs.items()}
        with limited(place):
            result = _call(place, self._function, given, None if labels is None else _read_only(labels))
        values = _to_numbers(result)
        if values is None or values.shape not in ((), (rows,)):
            what = f"a {type(result).__name__}" if values is None else _describe(values)
            raise InvalidData(
                f"{place} returned {what} for {rows} rows; return one number, or an array of one per row"
            )
        if not np.isfinite(values).all():
            where = f" in row {np.flatnonzero(~np.isfinite(values))[0]}" if values.ndim else ""
            raise InvalidData(
                f"{place} returned NaN or infinity{where}; return finite numbers, such as 0 for a row that "
                "does not count"
            )
        return values

    def _count_draws(self, taken_s: float) -> int:
        """How many draws the time allows, of which each rates both variants. Raises InvalidData."""
        for draws in _DRAWS:
            if 2 * draws * taken_s <= _BUDGET_S:
                return draws
        raise InvalidData(
            f"metric {self._source.function} takes {taken_s:.2g} s for the {self._rows} held-out rows, and "
            f"the interval of a figure of all rows needs {2 * _DRAWS[-1]} calls in {_BUDGET_S:g} s; make it "
            "faster, or return one number per row, which needs few calls"
        )

    def _resample_rows(self, actual: Answers) -> Interval:
        """Draw the values of the rows."""
        before, after, labels = self._add_unseen(actual)
        changes = self._rate(after, labels) - self._rate(before, labels)
        table = np.column_stack([changes, np.ones(len(changes))])
        unseen = len(changes) - self._rows
        [interval] = resample(
            table,
            lambda sums: sums[:, :1] / sums[:, 1:],
            self._seed,
            unseen=unseen,
            weight=2 / max(1, unseen),
        )
        return interval

    def _resample_figure(self, actual: Answers) -> Interval:
        """Draw rows, and compute the figure of each draw."""
        before, after, labels = self._add_unseen(actual)
        random = np.random.default_rng(self._seed)
        unseen = 2 * len(self._partners[0])
        changes = []
        for _ in range(self._draws or 0):
            at = random.random(self._rows + 2 * bool(unseen)) * (self._rows + 2 * bool(unseen))
            # The last two places stand for the unseen rows, of which each is as likely as the others.
            spread = self._rows + (at - self._rows) * unseen / 2
            rows = np.minimum(np.where(at < self._rows, at, spread), self._rows + unseen - 1).astype(np.int64)
            changes.append(self._change(before, after, labels, rows))
        known = [change for change in changes if change is not None]
        if 2 * len(known) < len(changes):
            raise InvalidData(
                f"metric {self._source.function} has no figure for {len(changes) - len(known)} of "
                f"{len(changes)} draws of the held-out rows; return a number for any choice of rows"
            )
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(known, [tail, 1 - tail])
        return float(low), float(high)

    def _change(self, before: Answers, after: Answers, labels: Labels | None, rows: Rows) -> float | None:
        """The change of the figure on these rows; None if they have none, such as an AUC of one class."""
        chosen = None if labels is None else labels[rows]
        try:
            one, other = (self._rate(_take(answers, rows), chosen) for answers in (before, after))
        except InvalidData:
            return None
        return float(other.mean() - one.mean())

    def _add_unseen(self, actual: Answers) -> tuple[Answers, Answers, Labels | None]:
        """Return the answers of both variants and the labels, with the unseen rows at the end: first those on
        which only the variant answers as for another row, then those on which only the baseline does."""
        own, other = self._partners
        everything = np.arange(self._rows)
        before = _take(self._expected, np.concatenate([everything, own, other]))
        after = _take(actual, np.concatenate([everything, other, own]))
        labels = self._labels
        return before, after, None if labels is None else labels[np.concatenate([everything, own, own])]


def _find_partners(meaning: Meaning, first: NDArray[Any], seed: int) -> tuple[Rows, Rows]:
    """Return rows whose answers are decisions, and for each a row with another answer."""
    rows = np.arange(len(first))
    if meaning.kind not in _DECISIONS:
        return rows[:0], rows[:0]
    others = np.random.default_rng(seed).permutation(len(first))
    differ = compare_all("tensors", meaning, first, first[others]).differing > 0
    return rows[differ], others[differ]


def _call(place: str, function: Callable[..., Any], outputs: dict[str, Any], labels: Any) -> Any:
    try:
        return function(outputs, labels)
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        raise InvalidData(
            f"{place} failed: {type(error).__name__}: {reason_of(error)}; correct it"
        ) from error


def _to_numbers(result: Any) -> Floats | None:
    if result is None:
        return None
    try:
        return np.asarray(result, np.float64)
    except (TypeError, ValueError):
        return None


def _take(answers: Answers, rows: Rows) -> Answers:
    return {name: output[rows] for name, output in answers.items()}


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that the function cannot change, because later calls get the same array."""
    view = array.view()
    view.flags.writeable = False
    return view


def _describe(values: Floats) -> str:
    return f"an array of the shape {list(values.shape)}" if values.ndim else "one number"
