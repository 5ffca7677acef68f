"""The errors that a load test raises. Each message names the value, what was expected, and the fix."""


class LoadTestError(Exception):
    """Raised when a load test cannot be run as requested. A command prints the message and ends with
    `exit_code`."""

    exit_code = 2


class WrongAnswer(Exception):
    """Raised for one wrong answer. It counts as an error of that request and does not end the run."""
