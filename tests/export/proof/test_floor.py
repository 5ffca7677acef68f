"""The floor judges by intervals and gives its reasons in numbers."""

from typing import Any

import pytest

from export.errors import InvalidData
from export.proof.floor import judge, require_meaningful, require_measurable
from export.quality_limits import Floor
from serve.bundles.figures import Compared, Estimate, OutputFigures, Quality
from serve.bundles.meaning import Meaning


def classifier(**figures: Any) -> Quality:
    return Quality(task="classification", rows=450, **figures)


def test_a_drop_is_judged_on_the_worse_end_of_its_interval() -> None:
    """The drop is judged by the lower end of its interval: 0.0200 exceeds 0.0100, although 0.0089 does
    not."""
    accuracy = Compared(value=0.9822, change=-0.0089, low=-0.02, high=0)
    reason = judge(Floor(accuracy_drop=0.01), classifier(accuracy=accuracy))
    assert reason == (
        "accuracy 0.9822 is 0.0089 below the baseline's 0.9911, with 95% confidence at most 0.0200 below; "
        "allowed are 0.0100"
    )
    assert judge(Floor(accuracy_drop=0.02), classifier(accuracy=accuracy)) is None


@pytest.mark.parametrize(
    ("floor", "reason"),
    [
        ({"agreement": 0.96}, None),
        (
            {"agreement": 0.97},
            "agreement with the baseline is 0.9800, with 95% confidence at least 0.9600; "
            "the floor requires at least 0.9700",
        ),
        ({"kl": 0.02}, None),
        (
            {"kl": 0.015},
            "the KL divergence (kl) from the baseline is 0.01000, with 95% confidence at most 0.02000; "
            "allowed are 0.01500",
        ),
    ],
)
def test_likeness_is_judged_on_the_worse_end(floor: dict[str, float], reason: str | None) -> None:
    """Agreement is judged by the lower end of its interval and divergence by the upper."""
    quality = classifier(
        agreement=Estimate(value=0.98, low=0.96, high=0.99),
        kl=Estimate(value=0.01, low=0.005, high=0.02),
    )
    assert judge(Floor(**floor), quality) == reason


def test_the_worst_class_is_named() -> None:
    """The reason names the worst class if it has a name."""
    quality = classifier(worst_class=Compared(value=0.8, change=-0.1, low=-0.3, high=0.05), worst_label=1)
    reasons = [judge(Floor(worst_class_drop=0.1), quality, names) for names in ([], ["cat", "dog"])]
    assert [str(reason).split(" is ")[0] for reason in reasons] == [
        "worst_class (`1`) 0.8000",
        "worst_class (`dog`) 0.8000",
    ]


def test_every_reason_is_given() -> None:
    """A variant that fails two limits gets both reasons."""
    worse = Compared(value=0.5, change=-0.4, low=-0.5, high=-0.3)
    quality = classifier(accuracy=worse, agreement=Estimate(value=0.5, low=0.4, high=0.6))
    reason = judge(Floor(accuracy_drop=0.02, agreement=0.9), quality)
    assert reason is not None
    assert reason.startswith("accuracy 0.5000")
    assert "; agreement" in reason


def test_a_better_variant_is_called_better() -> None:
    """The reason for a refused variant with a higher accuracy says `above the baseline's`."""
    few = Compared(value=0.95, change=0.01, low=-0.05, high=0.07)
    reason = judge(Floor(accuracy_drop=0.02), classifier(accuracy=few))
    assert reason is not None
    assert reason.startswith("accuracy 0.9500 is 0.0100 above the baseline's 0.9400")


@pytest.mark.parametrize(
    ("floor", "task", "labelled", "message"),
    [
        ({"accuracy_drop": 0.1}, "classification", False, "accuracy_drop.*held-out split has no labels"),
        ({"cosine": 0.9}, "classification", True, "cosine.*task classification has no such figure"),
        ({"agreement": 0.9}, "embedding", False, "agreement.*task embedding.*cosine, rank_correlation"),
        ({"accuracy_drop": 0.1}, "regression", False, "task regression has no such figure; limit.*agreement"),
    ],
)
def test_a_floor_that_cannot_be_measured_is_refused(
    floor: dict[str, float], task: Any, labelled: bool, message: str
) -> None:
    """The error for a limit that cannot be measured says what to limit instead."""
    with pytest.raises(InvalidData, match=message):
        require_measurable(Floor(**floor), task, labelled)


def test_a_floor_that_can_be_measured_passes() -> None:
    """A floor on agreement can be measured without labels."""
    require_measurable(Floor(agreement=0.9), "token_classification", labelled=False)


def two_outputs(first: float, second: float) -> tuple[OutputFigures, ...]:
    """Two outputs that agree so often."""
    meaning = Meaning(kind="numbers", form="plain", spread=(1.0,))
    return tuple(
        OutputFigures(name=name, meaning=meaning, agreement=Estimate(value=share, low=share, high=share))
        for name, share in (("scores", first), ("state", second))
    )


@pytest.mark.parametrize(
    ("floor", "second", "least"),
    [
        ({"agreement": 0.97}, 0.96, 0.97),
        ({"accuracy_drop": 0.1}, 0.85, 0.9),
        ({"accuracy_drop": 0.1}, 0.95, 0),
    ],
    ids=["as the floor asks", "nine of ten by default", "good enough"],
)
def test_other_outputs_count_for_the_floor(floor: dict[str, float], second: float, least: float) -> None:
    """The floor also applies to the other outputs, by their agreement."""
    reason = judge(Floor(**floor), classifier(outputs=two_outputs(0.5, second)))
    expected = (
        f"the output `state` agrees with the baseline's on {second:.4f} of the rows, with 95% "
        f"confidence on at least {second:.4f}; the floor requires at least {least:.4f}"
    )
    assert reason == (expected if least else None)


NUMBERS = Meaning(kind="numbers", form="plain", spread=(1.0,))
CHANCES = Meaning(kind="classes", form="chances")


@pytest.mark.parametrize(
    ("floor", "meaning", "labelled", "message"),
    [
        (
            {"kl": 0.1},
            NUMBERS,
            False,
            "limits kl, but the first output `y` holds numbers",
        ),
        ({"kl": 0.1}, CHANCES, True, "`y` holds probabilities that do not sum to one"),
        ({"agreement": 0.9}, NUMBERS, True, "labels are classes, but the first output `y` holds numbers"),
        ({"agreement": 0.9}, Meaning(kind="exact"), True, "labels are classes"),
    ],
    ids=["divergence of numbers", "divergence of chances", "labels of numbers", "labels of integers"],
)
def test_a_figure_that_would_mean_nothing_is_refused(
    floor: dict[str, float], meaning: Meaning, labelled: bool, message: str
) -> None:
    """A limit without a meaning for the first output is refused; the error suggests agreement."""
    with pytest.raises(InvalidData, match=f"{message}.*limit agreement"):
        require_meaningful(Floor(**floor), "classification", "y", meaning, labelled)


@pytest.mark.parametrize("meaning", [NUMBERS, CHANCES, Meaning(kind="classes", form="plain")], ids=str)
def test_agreement_means_something_of_every_output(meaning: Meaning) -> None:
    """`agreement` may limit an output of numbers."""
    require_meaningful(Floor(agreement=0.9), "classification", "y", meaning, labelled=False)


@pytest.mark.parametrize(
    ("spread", "r2", "low", "refused"),
    [
        ((1.0,), 0.4, 0.35, True),
        ((1.0,), 0.6, 0.45, True),
        ((1.0,), 0.6, 0.5, False),
        ((1.0,), 0.4, None, True),
        ((1.0,), 0.6, None, False),
        ((), None, None, False),
    ],
    ids=["other numbers", "doubtful", "near numbers", "older other", "older near", "scores of classes"],
)
def test_scores_that_may_be_numbers_are_held_to_them(
    spread: tuple[float, ...], r2: float | None, low: float | None, refused: bool
) -> None:
    """Scores that may be numbers are also judged by the lower end of R2; the reason says how to declare
    them. Older exports have no lower end."""
    same = Estimate(value=1, low=1, high=1)
    meaning = Meaning(kind="classes", form="plain", spread=spread)
    outputs = (OutputFigures(name="y", meaning=meaning, agreement=same, r2=r2, r2_low=low),)
    reason = judge(Floor(agreement=0.9), classifier(agreement=same, outputs=outputs))
    assert (reason is not None) == refused
    if refused:
        assert f"numbers of `y` differ from the baseline's: R2 is {r2:.4f}" in str(reason)
        assert "give labels, or the names of the classes (`source.labels`), or write `task: reg" in str(
            reason
        )


def unproven_numbers(agreement: float, r2: float, correlation: float = 1.0, **meaning: Any) -> Quality:
    """A regression of whose floor a constant would pass the limits."""
    share = Estimate(value=agreement, low=agreement, high=agreement)
    followed = Estimate(value=correlation, low=correlation, high=correlation)
    output = OutputFigures(
        name="y",
        meaning=Meaning(kind="numbers", form="plain", spread=(1.0,), **meaning),
        low=0,
        high=1,
        agreement=share,
        correlation=followed,
        r2=r2,
        r2_low=r2,
    )
    rise = Compared(value=1, change=0, low=0, high=0)
    return Quality(task="regression", rows=300, agreement=share, mae=rise, outputs=(output,))


@pytest.mark.parametrize(
    ("floor", "quality", "reason"),
    [
        ({"mae_rise": 0.1}, unproven_numbers(0.95, 0.9), None),
        ({"mae_rise": 0.1}, unproven_numbers(0.6, 0.9), "agreement with the baseline is 0.6000"),
        ({"mae_rise": 0.1, "agreement": 0.5}, unproven_numbers(0.6, 0.9), None),
        ({"agreement": 0.9}, unproven_numbers(0.96, -0.02), "the numbers of `y` differ from the baseline's"),
        ({"agreement": 0.9}, unproven_numbers(0.96, -0.02, abs=5), None),
        (
            {"agreement": 0.9},
            unproven_numbers(0.96, 0.9, correlation=0.2),
            "the answers in `y` do not follow",
        ),
    ],
    ids=["alike", "unlimited", "limited", "spikes", "declared", "unrelated"],
)
def test_numbers_that_a_constant_would_replace_must_agree(
    floor: dict[str, float], quality: Quality, reason: str | None
) -> None:
    """They need an agreement of 0.9 if the floor limits none, and an R2 of 0.5 unless the recipe sets a
    tolerance."""
    found = judge(Floor(**floor), quality)
    assert found is None if reason is None else str(found).startswith(reason)
