import pytest

from serve.rollout.state.rollout import Phase
from serve.rollout.trail.trail import Action, Change, Entry, broken_seals
from tests.serve.rollout.rollouts import begun
from tests.serve.rollout.stores import judged, sealed, started


def three() -> tuple[Entry, ...]:
    """A trail of three entries."""
    paused = begun().model_copy(update={"phase": Phase.PAUSED, "by": "bob", "reason": "paused"})
    pause = Change(model="digits", action=Action.PAUSE, by="bob", at_s=1.0, rollout=paused)
    return sealed(started(), judged(begun(), 0.5, 2), pause)


def test_what_was_written_is_whole() -> None:
    """The seals of an unchanged trail are intact."""
    assert broken_seals(three()) == ()


def test_nothing_is_whole_too() -> None:
    """An empty trail is intact."""
    assert broken_seals(()) == ()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_changed_byte_breaks_a_seal(number: int) -> None:
    """Changing any byte of an entry's content breaks a seal."""
    trail = three()
    content = trail[number - 1].content
    for place, character in enumerate(content):
        changed = content[:place] + chr(ord(character) ^ 1) + content[place + 1 :]
        damaged = list(trail)
        damaged[number - 1] = trail[number - 1].model_copy(update={"content": changed})
        assert broken_seals(tuple(damaged))


@pytest.mark.parametrize("update", [{"rollout": "r2"}, {"revision": 9}, {"model": "other"}, {"number": 4}])
def test_what_an_entry_is_found_by_is_sealed_too(update: dict[str, object]) -> None:
    """The fields by which an entry is found are sealed, too."""
    first, second, third = three()
    assert broken_seals((first, second.model_copy(update=update), third))


@pytest.mark.parametrize("lost", [0, 1])
def test_an_entry_that_was_taken_out_is_noticed(lost: int) -> None:
    """A missing entry breaks a seal."""
    trail = three()
    assert broken_seals(trail[:lost] + trail[lost + 1 :])


def test_entries_that_changed_places_are_noticed() -> None:
    """Entries in another order break a seal."""
    first, second, third = three()
    assert broken_seals((first, third, second))


def test_a_change_with_parts_of_two_models_is_refused() -> None:
    """A change whose parts belong to two models is refused."""
    with pytest.raises(ValueError, match="a change of model 'minilm' has parts of"):
        Change(model="minilm", action=Action.START, by="ann", at_s=0, rollout=begun())


@pytest.mark.parametrize("action", [Action.VERDICT, Action.PAUSE, Action.ROUTES])
def test_a_change_without_what_it_led_to_is_refused(action: Action) -> None:
    """A change without the parts that its action needs is refused."""
    with pytest.raises(ValueError, match=f"action {action}: "):
        Change(model="digits", action=action, by="ann", at_s=0)
