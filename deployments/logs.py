"""Logs: what they must not do to a replica."""

import logging


def forgive_logs() -> None:
    """A line of the log that cannot be written, as on a full disk, is lost, and nothing else is. Called while
    the replica is made.

    Python would say so on stderr, which Ray Serve 2.60 sends to the same log, which cannot be written: the
    call that came to log failed with a RecursionError, though it was done."""
    logging.raiseExceptions = False
