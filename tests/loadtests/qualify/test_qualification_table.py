from loadtests.load_verdict import CheckOutcome
from loadtests.qualify.qualification_table import table
from tests.loadtests.qualify.qualifications import make_found, make_strange, stage


def test_the_outcome_comes_first() -> None:
    """The table starts with the outcome and the binding check, followed by a row per stage."""
    lines = table(make_found()).splitlines()
    assert lines[:2] == ["QUALIFIED: slim-int8 against fp32 of digits", "binding: canary: p99 of slim-int8"]
    assert [line.split()[:2] for line in lines[5:9]] == [
        [name, "PASS"] for name in ("quality", "capacity", "shadow", "canary")
    ]


def test_every_reason_is_told() -> None:
    """Each reason has a line of its own."""
    text = table(make_found(stage("capacity", CheckOutcome.FAIL), stage("shadow", CheckOutcome.INVALID)))
    assert [line.partition(": ")[0] for line in text.splitlines() if line.startswith("- ")] == [
        "- capacity",
        "- shadow",
    ]


def test_the_load_tests_behind_it_follow() -> None:
    """The load tests of the stages follow the stages."""
    lines = table(make_found()).splitlines()
    assert [line for line in lines if line.startswith("--- ")] == ["--- capacity", "--- canary"]


def test_what_was_ended_early_says_so() -> None:
    """The first line says that the qualification was ended early."""
    line = table(make_found(stage("quality", CheckOutcome.PASS), complete=False)).splitlines()[0]
    assert line == "INVALID: slim-int8 against fp32 of digits (ended early)"


def test_a_server_cannot_steer_the_terminal() -> None:
    """The table has only printable characters and line ends."""
    assert all(letter.isprintable() or letter == "\n" for letter in table(make_strange()))
