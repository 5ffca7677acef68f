import pytest

from serve.base.errors import InvalidRecord
from serve.base.record import Record, nearest


class Inner(Record):
    epochs: int


class Outer(Record):
    name: str
    steps: tuple[Inner, ...] = ()


def test_refuses_an_unknown_key_with_the_nearest_known_one() -> None:
    """The error for an unknown key suggests the nearest one."""
    with pytest.raises(
        InvalidRecord, match=r"recipe\.yaml: steps\.0: unknown key 'epoch'; did you mean 'epochs'\?"
    ):
        Outer.parse({"name": "a", "steps": [{"epoch": 3}]}, "recipe.yaml")


def test_names_every_fault_with_its_place_and_what_came() -> None:
    """One error lists every invalid field with its path and its value."""
    with pytest.raises(
        InvalidRecord, match=r"name: .*missing.*|steps\.0\.epochs: .*\(got: 'ten'\)"
    ) as caught:
        Outer.parse({"steps": [{"epochs": "ten"}]}, "recipe.yaml")
    assert "name: Field required" in str(caught.value)
    assert "steps.0.epochs" in str(caught.value)


def test_refuses_nan() -> None:
    """NaN is refused as a number."""

    class Share(Record):
        share: float

    with pytest.raises(InvalidRecord, match="finite"):
        Share.parse({"share": float("nan")}, "policy")


def test_is_frozen() -> None:
    """Setting a field of a validated record raises an error."""
    record = Inner(epochs=1)
    with pytest.raises(ValueError, match="frozen"):
        record.epochs = 2


def test_nearest_lists_all_names_when_none_is_close() -> None:
    """If no name is close, the hint lists all known names."""
    assert nearest("zzz", ["fp32", "int8"]) == "known: fp32, int8"
