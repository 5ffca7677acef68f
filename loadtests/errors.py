"""What a load test can refuse. Every message says what came, what was expected, and what to do."""


class LoadTestError(Exception):
    """The load test cannot be run as asked. A command that meets one prints it and ends with `exit_code`."""

    exit_code = 2


class WrongAnswer(Exception):
    """What is wrong with one answer: counted as that request's error, never the end of the run."""
