"""Spaces of settings: ranges, choices, and what is neither."""

from collections.abc import Mapping
from typing import Any

import pytest

from export.search.space import choose_settings, find_lists, find_spaces, require_spaces
from export.step import STEPS


class First:
    """Chooses the first value of each space, and notes all names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return the first choice."""
        self.names.append(name)
        return choices[0]

    def suggest_float(
        self, name: str, low: float, high: float, *, step: Any = None, log: bool = False
    ) -> float:
        """Return the lower end."""
        self.names.append(name)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return the lower end."""
        self.names.append(name)
        return low


PRUNE = {"step": "prune", "ratio": {"from": 0.2, "to": 0.8}, "layers": ["conv*"], "importance": ["l1", "l2"]}


def test_ranges_and_lists_are_spaces() -> None:
    """A range and a list of choices are spaces; a list of patterns is a value."""
    assert [path for path, _ in find_spaces(PRUNE, {"layers"})] == ["ratio", "importance"]


def test_one_value_takes_the_place_of_each_space() -> None:
    """Each space becomes one value, and everything else stays."""
    chosen = choose_settings(PRUNE, First(), "p.1", {"layers"})
    assert chosen == {"step": "prune", "ratio": 0.2, "layers": ["conv*"], "importance": "l1"}


def test_spaces_are_named_by_their_path() -> None:
    """A nested space has the whole path as its name."""
    chooser = First()
    settings = {"student": {"factory": "a:b", "arguments": {"depth": [2, 3, 4]}}}
    assert choose_settings(settings, chooser, "p.1")["student"]["arguments"] == {"depth": 2}
    assert chooser.names == ["p.1.student.arguments.depth"]


def test_a_list_may_be_a_choice() -> None:
    """A list is chosen whole where it is one of the choices."""
    assert choose_settings({"arguments": {"hidden": [[64, 32], [32]]}}, First(), "p") == {
        "arguments": {"hidden": [64, 32]}
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": {"from": 0.8, "to": 0.2}}, "from` must be below"),
        ({"ratio": {"from": 0.2, "to": 0.8, "logs": True}}, "unknown key 'logs'"),
        ({"learning_rate": {"from": 0, "to": 1, "log": True}}, "starts above 0"),
        ({"ratio": {"from": 0.1, "to": 1, "log": True, "step": 0.1}}, "either"),
        ({"calibrate": []}, "calibrate: the list of choices is empty"),
        ({"student": {"arguments": {"depth": []}}}, r"student\.arguments\.depth"),
    ],
)
def test_a_space_without_values_is_refused(settings: Mapping[str, Any], message: str) -> None:
    """An empty or contradictory space is refused with its path."""
    with pytest.raises(ValueError, match=message):
        require_spaces(settings, finite=False)


def test_a_grid_needs_countable_spaces() -> None:
    """A range of any numbers has no end for a grid; one with a step has."""
    require_spaces(
        {"ratio": {"from": 0.2, "to": 0.8, "step": 0.1}, "keep": {"from": 1, "to": 3}}, finite=True
    )
    with pytest.raises(ValueError, match="add a `step`"):
        require_spaces({"ratio": {"from": 0.2, "to": 0.8}}, finite=True)


def test_only_a_setting_that_takes_a_list_has_one_as_its_value() -> None:
    """`keep` is a list of patterns of a pruning and a number of layers elsewhere, and training nests."""
    assert find_lists(STEPS["prune"]) == {"layers", "keep", "recover.freeze"}
    assert find_lists(STEPS["drop_layers"]) == frozenset()
    assert find_lists(STEPS["distill"]) == {"freeze"}


def test_a_list_in_arguments_is_always_choices() -> None:
    """The name of an argument may be that of a setting with a list."""
    lists = find_lists(STEPS["distill"])
    settings = {"student": {"factory": "a:b", "arguments": {"layers": [2, 3]}}, "freeze": ["*words*"]}
    assert [path for path, _ in find_spaces(settings, lists)] == ["student.arguments.layers"]
