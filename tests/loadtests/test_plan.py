import pytest

from loadtests.errors import LoadTestError
from loadtests.metadata import ModelMetadata
from loadtests.plan import check_pins, check_url, make_plan


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://host", "http://", "http://host:99999", "http://host/?a=1", "", "http://[::1"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """The message shows what an address looks like."""
    with pytest.raises(LoadTestError, match=r"is no server's address; .* http://127.0.0.1:8000"):
        check_url(url)


def test_a_slash_at_the_end_is_dropped() -> None:
    """Both ways of writing an address are the same."""
    assert check_url("http://[::1]:8000/") == "http://[::1]:8000"


@pytest.mark.parametrize(
    ("field", "value"),
    [("rate_per_s", 0), ("rate_per_s", float("nan")), ("duration_s", -1), ("seed", -1), ("model", "")],
)
def test_impossible_loads_are_refused(field: str, value: object) -> None:
    """The message names the setting and what came."""
    with pytest.raises(LoadTestError, match=f"{field}: .*came: "):
        make_plan(url="http://host", **{"model": "digits", field: value})


def test_an_unknown_pin_names_the_nearest_variant(metadata: ModelMetadata) -> None:
    """A slip of the finger is answered with what was probably meant."""
    with pytest.raises(
        LoadTestError, match="cannot pin 'int': digits has no such variant; did you mean 'int8'"
    ):
        check_pins(("fp32", "int"), metadata)


def test_a_pin_given_twice_is_refused(metadata: ModelMetadata) -> None:
    """It would silently double a variant's share."""
    with pytest.raises(LoadTestError, match="'fp32' is pinned twice"):
        check_pins(("fp32", "fp32"), metadata)
