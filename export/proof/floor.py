"""Decides which variants pass the quality floor, by the worse end of every interval."""

from collections.abc import Sequence

from export.data.labels import Labels, name_class
from export.errors import InvalidData
from export.proof.bootstrap import CONFIDENCE
from export.proof.by_label.label_fit import explain_undefined
from export.quality_limits import Floor
from serve.bundles.figures import Compared, MetricFigure, OutputFigures, Quality
from serve.bundles.meaning import Meaning, Task
from serve.tasks.criterion import FAR
from serve.tasks.task_table import FIGURES, TASKS

# Smaller differences are rounding.
_ROUNDING = 1e-9
_DROPS = {f"{name}_drop": name for name, figure in FIGURES.items() if figure.limit == "drop"}
_RISES = {f"{name}_rise": name for name, figure in FIGURES.items() if figure.limit == "rise"}
_LEAST = tuple(name for name, figure in FIGURES.items() if figure.limit == "least")
# The agreement required of outputs after the first if the floor does not set it.
_OTHERS = 0.9
# The R2 required of scores that are not known to be class scores, and of numbers where a constant would pass.
_EXPLAINS = 0.5
# The correlation with the baseline that is required where a constant would pass the floor.
_FOLLOWS = 0.5
_EMPTY = "answers that say nothing, such as a constant, would pass the floor on these held-out rows"
_WITHOUT_CLASSES = {"numbers": "numbers that are not class scores", "exact": "no scores of classes"}
_WITHOUT_SHARES = {"chances": "probabilities that do not sum to one"}


def require_measurable(floor: Floor, task: Task, labelled: bool) -> None:
    """Raise InvalidData unless everything that the floor limits can be measured for this task, with or
    without held-out labels."""
    known = TASKS[task].floors
    possible = tuple(name for name in known if labelled or name not in TASKS[task].label_floors)
    for name in Floor.model_fields:
        # The recipe has a metric if its floor limits it.
        if getattr(floor, name) is None or name in (*possible, "metric_drop"):
            continue
        lacks = "the held-out split has no labels" if name in known else f"the task {task} has no such figure"
        raise InvalidData(f"the floor limits {name}, but {lacks}; limit one of {', '.join(possible)} instead")


def require_defined(floor: Floor, task: Task, labels: Labels | None) -> None:
    """Raise InvalidData if the floor limits a figure that the held-out labels do not give."""
    if labels is None:
        return
    for name, why in explain_undefined(task, labels).items():
        key = FIGURES[name].limit_of(name)
        if key is not None and getattr(floor, key) is not None:
            raise InvalidData(
                f"the floor limits {key}, but {why}; remove the limit, or add such rows to held_out"
            )


def require_meaningful(floor: Floor, task: Task, name: str, meaning: Meaning, labelled: bool) -> None:
    """Raise InvalidData if the first output, `name`, does not have the form that the floor's limits or the
    held-out labels need."""
    if TASKS[task].rule == "vectors":
        return
    what = _WITHOUT_CLASSES.get(meaning.kind) or _WITHOUT_SHARES.get(meaning.form)
    if what is None:
        return
    if meaning.kind != "classes" and labelled and TASKS[task].label_type == "class":
        raise InvalidData(
            f"the held-out labels are classes, but the first output `{name}` holds {what}: give None for "
            f"labels and limit agreement, the share of rows whose numbers stay within {FAR} standard "
            "deviations of the baseline's; or put an output with class scores first"
        )
    if floor.kl is not None:
        raise InvalidData(
            f"the floor limits kl, but the first output `{name}` holds {what}, which are not a "
            "distribution; limit agreement instead"
        )


def judge(floor: Floor, quality: Quality, classes: Sequence[str] = ()) -> str | None:
    """Return why the floor rejects a variant of this quality, with numbers and the class names in `classes`;
    None if it passes.

    Outputs after the first are held to `agreement`, or to 0.9. Outputs with a correlation (those for which a
    constant would pass otherwise) are held to 0.5 and to the same agreement, and those that hold numbers, or
    scores that may be numbers, to an R2 of 0.5."""
    reasons = [_judge_drop(floor, quality, limit, name, classes) for limit, name in _DROPS.items()]
    reasons += [_judge_rise(floor, quality, limit, name) for limit, name in _RISES.items()]
    reasons += [_judge_least(floor, quality, name) for name in _LEAST]
    reasons.append(_judge_divergence(floor, quality))
    reasons.append(_judge_unlimited(floor, quality))
    reasons += [judge_output(floor, output) for output in quality.outputs[1:]]
    reasons += [_judge_following(output) for output in quality.outputs]
    reasons += [_judge_numbers(output) for output in quality.outputs]
    return "; ".join(reason for reason in reasons if reason) or None


def _judge_drop(floor: Floor, quality: Quality, limit: str, name: str, classes: Sequence[str]) -> str | None:
    allowed: float | None = getattr(floor, limit)
    figure: Compared | None = getattr(quality, name)
    if allowed is None or figure is None:
        return None
    lower = isinstance(figure, MetricFigure) and figure.better == "lower"
    loss, worse, better = (figure.high, "above", "below") if lower else (-figure.low, "below", "above")
    if loss <= allowed + _ROUNDING:
        return None
    worst = quality.worst_label if name == "worst_class" else None
    of = "" if worst is None else f" (`{name_class(worst, classes)}`)"
    side = better if (figure.change < 0 if lower else figure.change > 0) else worse
    show = FIGURES[name].show
    return (
        f"{name}{of} {show(figure.value)} is {show(abs(figure.change))} {side} the baseline's "
        f"{show(figure.value - figure.change)}, with {quality.confidence:.0%} confidence at most "
        f"{show(loss)} {worse}; allowed are {show(allowed)}"
    )


def _judge_rise(floor: Floor, quality: Quality, limit: str, name: str) -> str | None:
    allowed: float | None = getattr(floor, limit)
    figure: Compared | None = getattr(quality, name)
    if allowed is None or figure is None:
        return None
    before = figure.value - figure.change
    if figure.high <= (allowed + _ROUNDING) * before:
        return None
    side = "above" if figure.change >= 0 else "below"
    return (
        f"{name} {figure.value:.4g} is {abs(figure.change):.4g} {side} the baseline's {before:.4g}, with "
        f"{quality.confidence:.0%} confidence at most {figure.high:.4g} above; allowed are "
        f"{allowed * before:.4g}, a share of {allowed:g}"
    )


def _judge_least(floor: Floor, quality: Quality, name: str) -> str | None:
    least, figure = getattr(floor, name), getattr(quality, name)
    if least is None or figure is None or figure.low >= least - _ROUNDING:
        return None
    return (
        f"{name} with the baseline is {figure.value:.4f}, with {quality.confidence:.0%} confidence at least "
        f"{figure.low:.4f}; the floor requires at least {least:.4f}"
    )


def judge_output(floor: Floor, output: OutputFigures) -> str | None:
    """Return why an output after the first does not pass; None if it passes."""
    least = _OTHERS if floor.agreement is None else floor.agreement
    figure = output.agreement
    if figure.low >= least - _ROUNDING:
        return None
    return (
        f"the output `{output.name}` agrees with the baseline's on {figure.value:.4f} of the rows, with "
        f"{CONFIDENCE:.0%} confidence on at least {figure.low:.4f}; the floor requires at least {least:.4f}"
    )


def _judge_unlimited(floor: Floor, quality: Quality) -> str | None:
    """Hold the first output to an agreement that the floor does not limit, where its limits prove nothing."""
    if floor.agreement is not None or quality.agreement is None or not quality.outputs:
        return None
    first = quality.outputs[0]
    if first.correlation is None or first.agreement.low >= _OTHERS - _ROUNDING:
        return None
    return (
        f"agreement with the baseline is {first.agreement.value:.4f}, with {CONFIDENCE:.0%} confidence at "
        f"least {first.agreement.low:.4f}; at least {_OTHERS} is required, because {_EMPTY}: `agreement` in "
        "the floor sets another limit"
    )


def _judge_following(output: OutputFigures) -> str | None:
    figure = output.correlation
    if figure is None or figure.low >= _FOLLOWS:
        return None
    return (
        f"the answers in `{output.name}` do not follow the baseline's from row to row: they correlate by "
        f"{figure.value:.4f}, with {CONFIDENCE:.0%} confidence by at least {figure.low:.4f}; at least "
        f"{_FOLLOWS} is required, because {_EMPTY}"
    )


def _judge_numbers(output: OutputFigures) -> str | None:
    meaning = output.meaning
    doubtful = meaning.kind == "classes" and bool(meaning.spread)
    # A tolerance that the recipe sets is the whole rule.
    declared = meaning.abs is not None or meaning.rel is not None
    unproven = meaning.kind == "numbers" and output.correlation is not None and not declared
    if not (doubtful or unproven) or output.r2 is None:
        return None
    low = output.r2 if output.r2_low is None else output.r2_low
    if low >= _EXPLAINS:
        return None
    why = (
        "unless they are known to be class scores: give labels, or the names of the classes "
        "(`source.labels`), or write `task: regression`"
        if doubtful
        else f"because {_EMPTY}"
    )
    return (
        f"the numbers of `{output.name}` differ from the baseline's: R2 is {output.r2:.4f} in the worst "
        f"column, with {CONFIDENCE:.0%} confidence at least {low:.4f}; at least {_EXPLAINS} is required {why}"
    )


def _judge_divergence(floor: Floor, quality: Quality) -> str | None:
    most, figure = floor.kl, quality.kl
    if most is None or figure is None or figure.high <= most + _ROUNDING:
        return None
    return (
        f"the KL divergence (kl) from the baseline is {figure.value:.5f}, with {quality.confidence:.0%} "
        f"confidence at most {figure.high:.5f}; allowed are {most:.5f}"
    )
