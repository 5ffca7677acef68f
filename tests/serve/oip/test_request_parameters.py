from typing import Any

import pytest

from serve.base.errors import InvalidRequest
from serve.oip.request_parameters import check_parameters, read_timeout_s, read_variant


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"priority": 3},
        {"sequence_id": 0, "sequence_start": False, "sequence_end": False},
        {"sequence_id": ""},
        {"mine": True, "yours": 1.5, "ours": "text", "theirs": 7},
    ],
)
def test_what_is_harmless_passes(parameters: dict[str, Any]) -> None:
    """Parameters that stock clients send are accepted."""
    assert check_parameters(parameters) == parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([], "'parameters' is a list"),
        ({"headers": "x"}, "'headers' is reserved"),
        ({"triton_final_response": True}, "'triton_final_response' is reserved"),
        ({"sequence_id": 1}, "'sequence_id' is 1, but"),
        ({"sequence_id": "a"}, "'sequence_id' is 'a'"),
        ({"sequence_start": True}, "'sequence_start' is True"),
        ({"priority": -1}, "'priority' is -1, expected a whole number"),
        ({"priority": 1.5}, "'priority' is 1.5"),
        ({"priority": True}, "'priority' is True"),
        ({"mine": None}, "'mine' is null or missing, expected a boolean, a number or a string"),
        ({"mine": [1]}, "'mine' is a list"),
        ({"mine": {}}, "'mine' is an object"),
    ],
)
def test_what_cannot_be_honoured_is_refused(parameters: Any, message: str) -> None:
    """Parameters that the server cannot honour are refused."""
    with pytest.raises(InvalidRequest, match=message):
        check_parameters(parameters)


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(None, None), (1, 1e-6), (2_500_000, 2.5), ("1500", 0.0015)]
)
def test_the_timeout_is_in_microseconds(timeout: Any, seconds: float | None) -> None:
    """`timeout` is in microseconds, as a number or as digits."""
    assert read_timeout_s({} if timeout is None else {"timeout": timeout}) == seconds


@pytest.mark.parametrize("timeout", [0, -1, True, 1.5, "", "0", "-1", "1s", "\u0661", "9" * 5000])
def test_a_timeout_that_is_no_time_is_refused(timeout: Any) -> None:
    """A timeout that is not a positive whole number is refused."""
    with pytest.raises(InvalidRequest, match="expected a whole number of microseconds from 1 up"):
        read_timeout_s({"timeout": timeout})


def test_a_load_may_name_a_variant() -> None:
    """A load may name a variant; `unload_dependents` is accepted and has no effect."""
    assert read_variant({"variant": "int8"}) == "int8"
    assert read_variant({"unload_dependents": True}) is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (7, "'parameters' is a whole number"),
        ({"config": "{}"}, "'config' is not"),
        ({"file:1/model.onnx": b""}, r"'file:1/model.onnx' is not"),
        ({"variant": 1}, "'variant' is a whole number, expected a name"),
    ],
)
def test_a_load_takes_the_bundle_as_it_is(parameters: Any, message: str) -> None:
    """A load with a configuration or files is refused."""
    with pytest.raises(InvalidRequest, match=message):
        read_variant(parameters)
