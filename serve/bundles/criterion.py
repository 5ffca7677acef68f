"""Criterion: when the answers of two variants are the same, in the words that stand below a table. Pure."""

from collections.abc import Sequence

from serve.bundles.figures import Meaning, Quality

# Two numbers differ where this share of the standard deviation of the baseline's answers lies between them;
FAR = 0.2
# where nobody has measured that, than this share of the larger one.
CLOSE = 0.05
# Where scores may be numbers, they are apart when they are further from the baseline's than those are from
# their mean.
APART = 1.0
# Two embeddings with a lower cosine differ.
ALIKE = 0.95
_CENTRED = ", each less the mean of the baseline's, as those share most of their direction"


def explain_likeness(quality: Quality) -> list[str]:
    """What agreement (or cosine) compares, and what a correlation is asked for; empty: nothing was measured,
    or an older export did not say."""
    outputs = quality.outputs
    if not outputs:
        return []
    words = [
        _explain_cosine(outputs[0].meaning) if quality.agreement is None else _explain_agreement(quality)
    ]
    followed = [item.name for item in outputs if item.correlation is not None]
    if followed:
        words.append(
            f"correlation of {_list(followed)}: over the rows, of how far the numbers are from their means, "
            "with the baseline's; asked for as a variant that answers the same to every row would pass the "
            "floor"
        )
    return words


def _explain_cosine(meaning: Meaning) -> str:
    words = "cosine: the mean over the rows of that between the variant's embedding and the baseline's"
    return words + (_CENTRED if meaning.centre else "")


def _explain_agreement(quality: Quality) -> str:
    what = "tokens" if quality.task == "token_classification" else "rows"
    if len(quality.outputs) == 1:
        return f"agreement: the share of {what} with {_explain(quality.outputs[0].meaning)}"
    found: dict[str, list[str]] = {}
    for item in quality.outputs:
        found.setdefault(_explain(item.meaning), []).append(item.name)
    each = "; ".join(f"of {_list(names)} {words}" for words, names in found.items())
    return f"agreement: the share of {what} on which every output says the same: {each}"


def _explain(meaning: Meaning) -> str:
    match meaning.kind:
        case "classes":
            top = "the top class of the baseline"
            if not meaning.spread:
                return top
            return (
                f"{top} and numbers within {APART:g} standard deviation of the baseline's, as nobody has "
                "said that they are scores of classes"
            )
        case "vectors":
            return f"a cosine of at least {ALIKE} to the baseline{_CENTRED if meaning.centre else ''}"
        case "exact":
            return "exactly the baseline's values"
    if meaning.spread:
        return f"numbers within {FAR} standard deviations of the baseline's"
    return f"numbers within {CLOSE:.0%} of the baseline's"


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
