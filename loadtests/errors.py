"""The errors that a load test raises. Each message names the value, what was expected, and the fix."""

from serve.base.errors import CounterweightError


class LoadTestError(CounterweightError):
    """Raised when a load test cannot be run as requested."""


class WrongAnswer(Exception):
    """Raised for one wrong answer. It counts as an error of that request and does not end the run."""
