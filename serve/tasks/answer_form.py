"""Find out what the numbers of an output mean, and whether a variant's still mean the same. The forms are
shares (sum to 1), their logarithms, chances (each in 0..1), unit vectors, and plain numbers. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Form, Meaning, Rule, Task
from serve.tasks.rank_order import TOP
from serve.tasks.spread import measure_spread
from serve.tasks.task_table import TASKS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# The tolerance of a sum of 1 or a length of 1 for rounding in half precision.
_NEARLY = 1e-3
# The tolerance for 8-bit integers. A larger deviation means another form.
_ROUGHLY = 0.05
# Chances may be outside 0..1 by less than this.
_BEYOND = 0.1
# The share of answers that may violate the form.
_FEW = 0.05
# With fewer rows, all numbers may lie in 0..1 by chance.
_ENOUGH_ROWS = 10


def guess_meaning(task: Task, output: NDArray[np.generic]) -> Meaning:
    """The meaning of an output by its shape and the task, without measurements."""
    if output.dtype.kind != "f":
        return Meaning(kind="exact")
    if output.ndim < 2 or output.shape[-1] == 1:
        return Meaning(kind="numbers")
    # Some rules are those of a first output, which a bundle records; others are as under `tensors`.
    kind = TASKS[task].rule
    if kind in ("boxes", "ranks"):
        return Meaning(kind="numbers")
    return Meaning(kind="classes" if kind in (None, "labels") else kind)


def read_meaning(
    task: Task,
    answers: NDArray[np.generic],
    *,
    first: bool = True,
    labelled: bool = False,
    named: bool = False,
) -> Meaning:
    """The meaning of an output, from its `answers` to many rows, [rows, ...]; NaN marks a missing answer. The
    task describes only the `first` output. Chances with one label per row (`labelled`) are classes. Plain
    scores that are neither labelled nor `named` as classes may be numbers as well, so they get a spread."""
    kind = TASKS[task].rule
    if first and kind is not None and not TASKS[task].doubtful and answers.dtype.kind == "f":
        return measure_rule(Rule(kind=kind), answers)
    guessed = guess_meaning(task, answers)
    if guessed.kind == "exact":
        return guessed
    if guessed.kind == "vectors":
        return measure_rule(guessed, answers)
    items = _items(answers)
    form = _find_form(guessed, items, len(answers))
    first &= TASKS[task].rule is not None
    of_classes = form in ("shares", "log_shares") or (first and labelled)
    of_classes |= first and form == "plain" and _tell_classes(items)
    if guessed.kind == "classes" and of_classes:
        doubtful = form == "plain" and not (labelled or named) and len(items) >= _ENOUGH_ROWS
        meaning = Meaning(kind="classes", form=form)
        return _with_spread(meaning, answers) if doubtful else meaning
    return _with_spread(Meaning(kind="numbers", form=form), answers)


def measure_rule(rule: Rule, answers: NDArray[np.generic]) -> Meaning:
    """The meaning of an output that is compared by this rule, from its `answers` to many rows."""
    if rule.kind == "ranks" and answers[:1].size == 1:
        # The items of a query are rows.
        rule = Rule(kind="numbers")
    known = Meaning(**rule.model_dump())
    if rule.kind in ("exact", "boxes", "state"):
        return known
    if rule.kind == "vectors":
        unit = _are_unit(_rows(answers), _NEARLY).all()
        return known.model_copy(update={"form": "unit" if unit else "plain"})
    if rule.kind == "ranks":
        known = known.model_copy(update={"top": rule.top or TOP})
    items = _items(classes_last(rule, answers))
    form = _find_form(rule, items, len(answers))
    if rule.kind == "labels" and rule.threshold is None:
        known = known.model_copy(update={"threshold": 0.0 if _beyond_chances(items, 0).any() else 0.5})
    known = known.model_copy(update={"form": form})
    return _with_spread(known, answers) if rule.kind == "numbers" else known


def _with_spread(meaning: Meaning, answers: NDArray[np.generic]) -> Meaning:
    spread, axis = measure_spread(answers)
    return meaning.model_copy(update={"spread": spread, "spread_axis": axis})


def classes_last(rule: Rule, output: NDArray[Any]) -> NDArray[Any]:
    """The output, [rows, ...], with the dimension of the classes' scores last."""
    return output if rule.axis == -1 else np.moveaxis(output, rule.axis, -1)


def _find_form(rule: Rule, items: Floats, rows: int) -> Form:
    if not len(items):
        return "plain"
    if rule.kind == "classes" and are_shares(items, _NEARLY).all():
        return "shares"
    if rule.kind == "classes" and _are_log_shares(items, _NEARLY).all():
        return "log_shares"
    return "chances" if rows >= _ENOUGH_ROWS and not _beyond_chances(items, 0).any() else "plain"


def _tell_classes(items: Floats) -> bool:
    """Whether the largest number can be a class: if the numbers are quantities with different scales, the
    same one is always the largest."""
    return len(items) < _ENOUGH_ROWS or bool(np.ptp(items.argmax(axis=-1)))


def find_change(
    name: str,
    meaning: Meaning,
    baseline: NDArray[np.generic],
    variant: NDArray[np.generic],
    *,
    real: bool = True,
) -> str | None:
    """Describe how the form of a variant's output differs from the baseline's, with both ranges; None if it
    is the same. Both arrays are [rows, ...] for the same rows. If the inputs are not `real`, only rules that
    hold for any input are checked."""
    if meaning.kind in ("exact", "boxes", "state") or baseline.shape != variant.shape:
        return None
    if meaning.kind == "vectors":
        before, after = _rows(baseline), _rows(variant)
    else:
        both = np.isfinite(baseline) & np.isfinite(variant)
        before, after = (
            _items(classes_last(meaning, np.where(both, each, np.nan))) for each in (baseline, variant)
        )
    if not len(before):
        return None
    changed = _is_changed(meaning, before, after) if real else _breaks_often(meaning, before, after)
    if not changed:
        return None
    words = [_describe(items, meaning) for items in (before, after)]
    return f"the baseline's `{name}` {words[0]}, the variant's {words[1]}"


def breaks_form(meaning: Meaning, before: Floats, after: Floats) -> Bools:
    """Which answers, [..., width], clearly violate the form of the baseline's."""
    broken: Bools = np.zeros(after.shape[:-1], np.bool_)
    match meaning.form:
        case "shares":
            broken = ~are_shares(after, _ROUGHLY)
        case "log_shares":
            broken = ~_are_log_shares(after, _ROUGHLY)
        case "chances":
            summed = are_shares(after) & ~are_shares(before, _ROUGHLY) & (after.shape[-1] > 1)
            broken = _beyond_chances(after, _BEYOND) | summed
        case "unit":
            broken = ~_are_unit(after, _ROUGHLY)
        case "unknown" if meaning.kind == "classes":
            lost = are_shares(before) & ~are_shares(after, _ROUGHLY)
            broken = lost | (are_shares(after) & ~are_shares(before, _ROUGHLY))
        case "plain" if meaning.kind == "classes":
            shares = are_shares(after) & ~are_shares(before, _ROUGHLY)
            broken = shares | (_are_log_shares(after, _NEARLY) & ~_are_log_shares(before, _ROUGHLY))
        case "unknown" if meaning.kind == "vectors":
            broken = _are_unit(before, _NEARLY) & ~_are_unit(after, _ROUGHLY)
    return np.asarray(broken)


def are_shares(scores: Floats, within: float = _NEARLY) -> Bools:
    """Which scores, [..., classes], are shares: none below 0, with a sum of 1."""
    whole = np.abs(scores.sum(axis=-1) - 1) <= within
    return np.asarray((scores >= -within).all(axis=-1) & whole)


def _are_log_shares(scores: Floats, within: float) -> Bools:
    top = scores.max(axis=-1, keepdims=True)
    total = (top + np.log(np.exp(scores - top).sum(axis=-1, keepdims=True)))[..., 0]
    return np.asarray((np.abs(total) <= within) & (top[..., 0] <= within))


def _are_unit(vectors: Floats, within: float) -> Bools:
    return np.asarray(np.abs(np.linalg.norm(vectors, axis=-1) - 1) <= within)


def _beyond_chances(numbers: Floats, beyond: float) -> Bools:
    return np.asarray(((numbers < -beyond) | (numbers > 1 + beyond)).any(axis=-1))


def _breaks_often(meaning: Meaning, before: Floats, after: Floats) -> bool:
    return bool(breaks_form(meaning, before, after).mean() > _FEW)


def _is_changed(meaning: Meaning, before: Floats, after: Floats) -> bool:
    if meaning.form != "plain":
        return _breaks_often(meaning, before, after)
    if meaning.kind == "vectors":
        return bool(_are_unit(after, _NEARLY).all() and not _are_unit(before, _ROUGHLY).all())
    if after.shape[-1] > 1:
        for rule in (are_shares, _are_log_shares):
            if rule(after, _NEARLY).all() and (~rule(before, _ROUGHLY)).mean() > _FEW:
                return True
    # A constant output lies in 0..1 too, so the range must be wide.
    into_chances = not _beyond_chances(after, 0).any() and np.ptp(after) > 1 / 2
    if into_chances and len(after) >= _ENOUGH_ROWS and _beyond_chances(before, _BEYOND).mean() > _FEW:
        return True
    # By more than rounding around 0.
    far = _BEYOND * np.abs(before).max()
    return any(
        bool(far > 0 and (sign * before >= 0).all() and (sign * after < -far).mean() > 1 / 2)
        for sign in (1, -1)
    )


def _describe(items: Floats, meaning: Meaning) -> str:
    if meaning.kind == "vectors":
        lengths = np.linalg.norm(items, axis=-1)
        return f"have lengths of {_range(lengths)}"
    words = f"lie in {_range(items)}"
    if items.shape[-1] == 1:
        return words
    if are_shares(items).all():
        return f"{words} and sum to one"
    if _are_log_shares(items, _NEARLY).all():
        return f"{words} and their exponentials sum to one"
    return f"{words} and sum to {_range(items.sum(axis=-1))}"


def _range(numbers: Floats) -> str:
    low, high = float(numbers.min()), float(numbers.max())
    return f"{low:.3g}..{high:.3g}"


def _items(answers: NDArray[np.generic]) -> Floats:
    """All finite items, [items, width]."""
    width = answers.shape[-1] if answers.ndim > 1 else 1
    items = answers.astype(np.float64).reshape(-1, width)
    return items[np.isfinite(items).all(axis=1)]


def _rows(answers: NDArray[np.generic]) -> Floats:
    """Each row as one vector; missing numbers are 0."""
    return np.nan_to_num(answers.astype(np.float64).reshape(len(answers), -1), posinf=0, neginf=0)
