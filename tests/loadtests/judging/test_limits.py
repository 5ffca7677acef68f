from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits, load_limits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits.yaml"


def test_without_file_and_words_there_are_the_defaults() -> None:
    """Without a file and options the limits have their defaults, and p99 has no limit."""
    assert load_limits(None, []) == Limits()
    assert load_limits(None, []).p99_ms is None


def test_a_file_is_read(path: Path) -> None:
    """Limits are read from a YAML file of names and values."""
    path.write_text("p99_ms: 50\nerrors: 0.002\ncurrency: EUR\n")
    assert load_limits(path, []) == Limits(p99_ms=50, errors=0.002, currency="EUR")


def test_an_empty_file_asks_for_nothing(path: Path) -> None:
    """A file with only comments gives the default limits."""
    path.write_text("# later\n")
    assert load_limits(path, []) == Limits()


def test_a_word_stands_over_the_file(path: Path) -> None:
    """An option overrides the file for its name, and the last of two options applies."""
    path.write_text("p99_ms: 50\nerrors: 0.002\n")
    assert load_limits(path, ["p99_ms=20", "p99_ms=30"]) == Limits(p99_ms=30, errors=0.002)


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("p99: 50", "no limit is called 'p99'; its unit is missing: write p99_ms"),
        ("duration: 60", "its unit is missing: write duration_s"),
        ("rate: 5", "its unit is missing: write rate_per_s"),
        ("price: 1", "its unit is missing: write price_per_cpu_hour"),
        ("eror: 0.1", "no limit is called 'eror'; did you mean 'errors'?"),
        ("7: 1", "no limit is called 7; known: "),
    ],
)
def test_an_unknown_name_is_told_with_the_right_one(path: Path, line: str, fix: str) -> None:
    """The error for an unknown name suggests the right one."""
    path.write_text(line + "\n")
    with pytest.raises(LoadTestError) as refused:
        load_limits(path, [])
    assert str(refused.value).startswith(f"{path}: ")
    assert fix in str(refused.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("p99_ms: fast", "p99_ms: .*got: 'fast'"),
        ("p99_ms: 0", "p99_ms: .*greater than 0 .*got: 0"),
        ("errors: 1", "errors: .*less than 1 .*got: 1"),
        ("p99_ms: .inf", "p99_ms: .*finite"),
        ("currency: dollars", "currency: .*got: 'dollars'"),
    ],
)
def test_an_impossible_value_is_told(path: Path, line: str, told: str) -> None:
    """The error names the key, the value and what is expected."""
    path.write_text(line + "\n")
    with pytest.raises(LoadTestError, match=told):
        load_limits(path, [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"- 1\n", r"holds list, expected names with values, such as p99_ms: 50"),
        (b"fast", r"holds str, expected names with values"),
        (b"a: [1\n", r"is not YAML: "),
        (b"p99_ms: 2026-99-99\n", r"is not YAML: month"),
        (b"p99_ms: \xff", r"cannot read the limits .*utf-8"),
    ],
)
def test_what_is_no_table_of_limits_is_told(path: Path, content: bytes, told: str) -> None:
    """A file that is not a table of limits is refused."""
    path.write_bytes(content)
    with pytest.raises(LoadTestError, match=told):
        load_limits(path, [])


def test_a_missing_file_is_told(path: Path) -> None:
    """A missing file is named in the error."""
    with pytest.raises(LoadTestError, match=r"cannot read the limits .*limits.yaml.*No such file"):
        load_limits(path, [])


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("p99_ms", "--set 'p99_ms' sets nothing; write --set NAME=VALUE, such as p99_ms=50"),
        ("p99=50", "--set: no limit is called 'p99'; its unit is missing: write p99_ms"),
        ("p99_ms=fast", "--set: p99_ms: "),
        ("p99_ms=[", "--set 'p99_ms=[': the value is not YAML: "),
    ],
)
def test_a_bad_word_is_told(word: str, told: str) -> None:
    """A bad `--set` word is quoted in the error."""
    with pytest.raises(LoadTestError) as refused:
        load_limits(None, [word])
    assert told in str(refused.value)
