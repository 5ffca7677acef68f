from typing import Any

import pytest

from loadtests.errors import LoadTestError
from loadtests.load_plan import LoadPlan, check_pins, check_url, make_plan, parse_profile, steady
from loadtests.sending.model_metadata import ModelMetadata


def _plan(**changes: Any) -> LoadPlan:
    return make_plan(**({"url": "http://host", "model": "digits", "profile": steady(100, 20)} | changes))


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://host", "http://", "http://host:99999", "http://host/?a=1", "", "http://[::1"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """The error for an invalid address shows a valid one."""
    with pytest.raises(LoadTestError, match=r"is not a server's address; .* http://127.0.0.1:8000"):
        check_url(url)


def test_a_slash_at_the_end_is_dropped() -> None:
    """A slash at the end of an address is removed."""
    assert check_url("http://[::1]:8000/") == "http://[::1]:8000"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("profile", steady(float("nan"), 20)),
        ("profile", steady(100, -1)),
        ("profile", steady(1e6, 20)),
        ("profile", ((0, 10),)),
        ("warmup_s", -1),
        ("seed", -1),
        ("model", ""),
        ("arrivals", "bursty"),
    ],
)
def test_impossible_loads_are_refused(field: str, value: object) -> None:
    """The error names the invalid setting and its value."""
    with pytest.raises(LoadTestError, match=rf"{field}.*got: "):
        _plan(**{field: value})


def test_a_plan_that_sends_nothing_is_refused() -> None:
    """A plan with a rate of 0 or a duration of 0 is refused."""
    for profile in (steady(0, 20), steady(100, 0)):
        with pytest.raises(LoadTestError, match="the profile sends nothing; give it a rate and a duration"):
            _plan(profile=profile)


@pytest.mark.parametrize("profile", [((1, 10), (2, 10)), ((0, 10), (5, 10), (4, 10))])
def test_a_profile_out_of_order_is_refused(profile: object) -> None:
    """A profile that does not start at 0, or whose times do not rise, is refused."""
    with pytest.raises(LoadTestError, match="begin with 0"):
        _plan(profile=profile)


def test_a_plan_knows_what_is_to_be_expected() -> None:
    """A ramp from 0 to 100/s within 10 s sends 500, at 50/s on average."""
    plan = _plan(profile=((0, 0), (10, 100)))
    assert (plan.duration_s, plan.requests, plan.rate_per_s, plan.is_steady) == (10, 500, 50, False)
    assert _plan().is_steady


def test_a_profile_is_read_as_it_is_written() -> None:
    """A profile is read from points separated by commas."""
    assert parse_profile("0:10,60:200.5") == ((0, 10), (60, 200.5))


@pytest.mark.parametrize(
    ("text", "word"), [("0:10,60", "60"), ("0:10,a:b", "a:b"), ("", ""), ("0:1:2", "0:1:2")]
)
def test_a_bad_point_is_named(text: str, word: str) -> None:
    """The error names the invalid point and shows the form of a point."""
    with pytest.raises(LoadTestError, match=rf"--profile: '{word}' is not a point; write SECOND:RATE"):
        parse_profile(text)


def test_an_unknown_pin_names_the_nearest_variant(metadata: ModelMetadata) -> None:
    """The error for an unknown pin suggests the nearest variant."""
    with pytest.raises(
        LoadTestError, match="cannot pin 'int': digits has no such variant; did you mean 'int8'"
    ):
        check_pins(("fp32", "int"), metadata)


def test_a_pin_that_is_not_served_says_why(metadata: ModelMetadata) -> None:
    """The error for an unserved pin contains the server's reason."""
    told = metadata.model_copy(update={"unserved": {"poor": "accuracy 0.50"}})
    with pytest.raises(LoadTestError, match=r"cannot pin 'poor': digits does not serve it: accuracy 0\.50"):
        check_pins(("poor",), told)


def test_a_pin_given_twice_is_refused(metadata: ModelMetadata) -> None:
    """A variant that is pinned twice is refused."""
    with pytest.raises(LoadTestError, match="'fp32' is pinned twice"):
        check_pins(("fp32", "fp32"), metadata)
