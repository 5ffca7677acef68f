"""What a load test can refuse. Every message says what came, what was expected, and what to do."""

from serve.base.errors import CounterweightError


class LoadTestError(CounterweightError):
    """The load test cannot be run as asked."""


class WrongAnswer(Exception):
    """What is wrong with one answer: counted as that request's error, never the end of the run."""
