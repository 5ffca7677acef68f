from dataclasses import replace

from loadtests.judging.failure_causes import count_causes
from loadtests.sending.samples import Samples
from tests.loadtests.samples import make_failed, make_samples


def fail(n: int, words: str) -> Samples:
    """Return `n` failed requests with these words."""
    samples = make_failed(n)
    return replace(samples, words=tuple(words if word == "refused" else word for word in samples.words))


def test_causes_come_by_how_often() -> None:
    """Causes of all loads are counted together, the most frequent first."""
    measured = [make_samples([1, 2]), fail(2, "reset"), fail(1, "refused"), fail(2, "refused")]
    assert list(count_causes(measured).items()) == [("refused", 3), ("reset", 2)]


def test_causes_that_differ_in_a_number_are_one() -> None:
    """Causes that differ only in numbers are merged under the most frequent wording."""
    measured = [
        fail(1, "HTTP 503: 1,024 rows wait, some 1.2 s of work"),
        fail(2, "HTTP 503: 7 rows wait, some 1 s of work"),
    ]
    assert count_causes(measured) == {"HTTP 503: 7 rows wait, some 1 s of work": 3}


def test_a_status_tells_causes_apart() -> None:
    """Causes with different HTTP statuses stay separate, whatever the message."""
    assert count_causes([fail(1, "HTTP 500: no"), fail(1, "HTTP 503: no")]) == {
        "HTTP 500: no": 1,
        "HTTP 503: no": 1,
    }
