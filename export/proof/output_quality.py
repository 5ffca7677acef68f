"""Compares every output of a variant with the baseline's."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.proof.bootstrap import Floats, resample, share_interval
from export.proof.box_reading import complete_box_rule
from export.proof.held_out import Answers
from serve.bundles.figures import Estimate, OutputFigures
from serve.bundles.meaning import Meaning, Rule, Task
from serve.tasks.answer_form import find_change, measure_rule, read_meaning
from serve.tasks.compare_outputs import Differences, compare, worst
from serve.tasks.join_outputs import join_outputs
from serve.tasks.spread import by_place, scale_of
from serve.tasks.task_table import TASKS

Array = NDArray[Any]
Meanings = Mapping[str, Meaning]
_NO_RULES: Mapping[str, Rule] = MappingProxyType({})
# Numbers compared at a time, because a comparison holds several copies of them.
_BLOCK = 1 << 23
# Numbers read at most to infer a meaning.
_READ = 1 << 25
# Embeddings whose mean has more of their mean square than this share most of their direction.
_SHARED = 0.5
# With less of it to each, their differences are rounding.
_OWN = 1e-8
# Places whose errors are drawn for R2: of many, others are hardly ever the worst.
_MOST_PLACES = 64
# The mean of fewer is largely that of single rows.
_ENOUGH_ROWS = 10


def read_meanings(
    task: Task,
    answers: Answers,
    labelled: bool,
    *,
    named: bool = False,
    rules: Mapping[str, Rule] = _NO_RULES,
) -> dict[str, Meaning]:
    """Infer the meaning of each output from the baseline's answers; one whose rule names other outputs is
    joined with them, and these have no meaning. `labelled`: each row has a class label; `named`: the classes
    have names; `rules`: what the recipe says of some outputs."""
    few = {name: few_rows(output) for name, output in answers.items()}
    rules = _complete_rules(task, few, rules)
    if any(rule.scores for rule in rules.values()):
        rows = min(map(len, few.values()))
        few = join_outputs(rules, {name: output[:rows] for name, output in few.items()})
    found = {}
    for number, (name, output) in enumerate(few.items()):
        rule = rules.get(name)
        if rule is None:
            meaning = read_meaning(task, output, first=number == 0, labelled=labelled, named=named)
        else:
            meaning = measure_rule(rule, output)
        found[name] = _add_centre(meaning, output)
    return found


def _complete_rules(task: Task, answers: Answers, rules: Mapping[str, Rule]) -> Mapping[str, Rule]:
    """Return the rules with those of boxes read from the answers; the first output of a detection has one."""
    first = next(iter(answers))
    if TASKS[task].rule == "boxes" and first not in rules:
        rules = {first: Rule(kind="boxes"), **rules}
    rows = min(map(len, answers.values()))
    same_rows = {name: output[:rows] for name, output in answers.items()}
    return {
        name: complete_box_rule(name, rule, same_rows) if rule.kind == "boxes" else rule
        for name, rule in rules.items()
    }


def _add_centre(meaning: Meaning, output: Array) -> Meaning:
    """The same, with the mean of embeddings that share most of their direction."""
    if meaning.kind != "vectors" or output.ndim != 2 or len(output) < _ENOUGH_ROWS:
        return meaning
    vectors = output.astype(np.float64)
    mean = vectors.mean(axis=0)
    size, own = np.square(vectors).sum(), np.square(vectors - mean).sum()
    if not _OWN * size < own < (1 - _SHARED) * size:
        return meaning
    return meaning.model_copy(update={"centre": tuple(mean.tolist())})


def find_changes(meanings: Meanings, baseline: Answers, variant: Answers) -> str | None:
    """Say in words which outputs of a variant changed their meaning; None if none did."""
    changes = (
        find_change(name, meaning, few_rows(baseline[name]), few_rows(variant[name]))
        for name, meaning in meanings.items()
    )
    return "; ".join(words for words in changes if words) or None


def measure_outputs(
    task: Task, meanings: Meanings, baseline: Answers, variant: Answers, seed: int = 0
) -> tuple[OutputFigures, ...]:
    """Return the figures of every output; `seed` is that of the bootstrap."""
    figures = []
    for name, expected in baseline.items():
        figure = measure_output(task, name, meanings[name], expected, variant[name])
        r2 = measure_r2(meanings[name], expected, variant[name], seed)
        figures.append(figure if r2 is None else figure.model_copy(update={"r2": r2[0], "r2_low": r2[1]}))
    return tuple(figures)


def measure_whole(task: Task, meanings: Meanings, baseline: Answers, variant: Answers) -> Estimate:
    """Return the share of rows (or tokens) on which no output differs."""
    each = [compare_all(task, meanings[name], baseline[name], variant[name]) for name in baseline]
    return estimate_agreement(worst(each))


def compare_all(task: Task, meaning: Meaning, baseline: Array, variant: Array) -> Differences:
    """Compare one output, with any number of rows, as a shadow does."""
    rows = max(1, _BLOCK // max(1, baseline[:1].size))
    blocks = [
        compare(task, baseline[start : start + rows], variant[start : start + rows], meaning)
        for start in range(0, len(baseline), rows)
    ]
    return blocks[0] if len(blocks) == 1 else _join(blocks)


def estimate_agreement(differences: Differences) -> Estimate:
    """Return the share of pairs that agree, with its interval."""
    counts = differences.pairs.astype(np.float64)
    alike = counts - differences.differing
    low, high = share_interval(alike, counts)
    value = float(alike.sum() / counts.sum())
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def few_rows(output: Array) -> Array:
    """Return the first rows if there are very many numbers, which suffice to infer a meaning."""
    return output[: max(1, _READ // max(1, output[:1].size))]


def _join(blocks: list[Differences]) -> Differences:
    def joined(values: list[Any]) -> Any:
        return None if values[0] is None else np.concatenate(values)

    counted = [np.ones_like(each.differ) if each.counted is None else each.counted for each in blocks]
    return Differences(
        differ=np.concatenate([each.differ for each in blocks]),
        largest=np.concatenate([each.largest for each in blocks]),
        counted=np.concatenate(counted),
        cosine=joined([each.cosine for each in blocks]),
        kl=joined([each.kl for each in blocks]),
    )


def measure_output(task: Task, name: str, meaning: Meaning, baseline: Array, variant: Array) -> OutputFigures:
    """Return the figures of one output, without R2. For the baseline itself (the same array), the agreement
    has no interval."""
    low = high = None
    if variant.dtype.kind == "f":
        finite = variant[np.isfinite(variant)]
        if len(finite):
            low, high = float(finite.min()), float(finite.max())
    agreement = estimate_agreement(compare_all(task, meaning, baseline, variant))
    if variant is baseline:
        agreement = Estimate(value=1.0, low=1.0, high=1.0)
    return OutputFigures(
        name=name,
        meaning=meaning,
        low=low,
        high=high,
        agreement=agreement,
    )


def measure_r2(meaning: Meaning, baseline: Array, variant: Array, seed: int) -> tuple[float, float] | None:
    """Return the R2 of the worst place of the `spread`, and the lower end of its bootstrap interval
    over the rows.

    Args:
        meaning: the kind of output, with the standard deviations of the baseline's numbers
        baseline: the baseline's answers, [rows, ...]
        variant: the variant's answers, [rows, ...]
        seed: seed of the bootstrap

    Returns:
        None if the output holds no numbers, or only constant ones, or the shapes differ.
    """
    if not any(meaning.spread) or baseline.shape != variant.shape:
        return None
    scale = scale_of(meaning, baseline.shape)
    errors, counts = _sum_errors(scale, baseline, variant)
    variances = np.square(scale.reshape(-1))
    worst = np.argsort(_shares(errors.sum(axis=0), counts.sum(axis=0), variances))[-_MOST_PLACES:]
    errors, counts, variances = errors[:, worst], counts[:, worst], variances[worst]

    def r2(sums: Floats) -> Floats:
        drawn_errors, drawn_counts = np.split(sums, 2, axis=1)
        each = _shares(drawn_errors, drawn_counts, variances)
        return np.asarray(1 - each.max(axis=1, keepdims=True))

    table = np.column_stack([errors, counts])
    value = float(r2(table.sum(axis=0)[None])[0, 0])
    [(low, _)] = resample(table, r2, seed)
    return value, min(low, value)


def _sum_errors(scale: Floats, baseline: Array, variant: Array) -> tuple[Floats, Floats]:
    """Return the sums of squared differences and their number for each row and place, each [rows, places]."""
    before, after = (by_place(scale, each.astype(np.float64)) for each in (baseline, variant))
    apart = np.square(np.where(before == after, 0.0, before - after))
    finite = np.isfinite(apart)
    return np.where(finite, apart, 0).sum(axis=1), finite.sum(axis=1).astype(np.float64)


def _shares(errors: Floats, counts: Floats, variances: Floats) -> Floats:
    """Return the unexplained share of the variance; of a constant place it is 0 or the largest float."""
    means = errors / np.maximum(counts, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(np.where(means == 0, 0.0, means / variances)))
