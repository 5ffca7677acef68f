"""Plans: steps with spaces become steps of a recipe."""

from typing import Any

import pytest

from export.search.plan import Incompatible, Plans
from export.search.search_request import Search
from serve.base.errors import InvalidRecord
from tests.export.search.test_space import First

PRUNE = {"step": "prune", "remove": "channels", "ratio": {"from": 0.2, "to": 0.8}}
TRAIN = {
    "step": "finetune",
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": {"from": 1e-4, "to": 1e-2, "log": True},
}


class Chosen(First):
    """Chooses given values by name, and otherwise the first."""

    def __init__(self, **values: Any) -> None:
        super().__init__()
        self.values = values

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return the given value of the last part of the name."""
        return self.values.get(name.rsplit(".", maxsplit=1)[-1], choices[0])


def plans(*steps: dict[str, Any]) -> Plans:
    return Plans.model_validate({"plans": {"steps": steps}})


def test_chosen_settings_make_steps() -> None:
    """One value of each space gives the steps of a variant."""
    prune, train = plans(PRUNE, TRAIN).choose(First())
    assert (prune.step, prune.ratio) == ("prune", 0.2)  # type: ignore[union-attr]
    assert (train.step, train.learning_rate) == ("finetune", 1e-4)  # type: ignore[union-attr]


def test_an_optional_step_may_be_left_out() -> None:
    """Without the optional step, the others remain."""
    found = plans(PRUNE, {**TRAIN, "optional": True}).choose(Chosen(finetune=False))
    assert [step.step for step in found] == ["prune"]


def test_steps_may_change_places() -> None:
    """The order is one of the choices."""
    found = plans({"any_order": [PRUNE, TRAIN]}).choose(Chosen(order="2 1"))
    assert [step.step for step in found] == ["finetune", "prune"]


def test_a_trial_follows_one_plan() -> None:
    """With several plans, one of them is chosen."""
    both = Plans.model_validate({"plans": {"a": [PRUNE], "b": [TRAIN]}})
    assert [step.step for step in both.choose(Chosen(plan="b"))] == ["finetune"]


def test_settings_that_do_not_go_together_are_refused() -> None:
    """A trial whose settings contradict each other says why."""
    quantize = {"step": "quantize", "method": ["dynamic"], "calibrate": ["entropy"]}
    with pytest.raises(Incompatible, match="takes no calibrate"):
        plans(quantize).choose(First())


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"method": "static"}, "needs its kind"),
        ({"step": "quantise", "method": "static"}, "did you mean 'quantize'"),
        ({"step": "quantize", "metod": "static"}, "did you mean 'method'"),
        ({"step": "prune", "remove": "channels", "ratio": []}, "list of choices is empty"),
    ],
)
def test_a_wrong_step_is_refused_at_the_door(step: dict[str, Any], message: str) -> None:
    """An unknown kind, an unknown setting and an empty space are named."""
    with pytest.raises(InvalidRecord, match=message):
        Search.parse({"steps": [step]}, "recipe")


def test_a_grid_over_any_numbers_is_refused() -> None:
    """A grid needs steps for its ranges."""
    with pytest.raises(InvalidRecord, match="add a `step`"):
        Search.parse({"sampler": "grid", "steps": [PRUNE]}, "recipe")


def test_steps_and_methods_exclude_each_other() -> None:
    """A search is either over given steps or over methods."""
    with pytest.raises(InvalidRecord, match="either `steps` or `methods`"):
        Search.parse({"methods": ["static"], "steps": [PRUNE]}, "recipe")
