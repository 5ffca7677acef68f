"""Protect replicas from failures of logging."""

import logging


def ignore_log_errors() -> None:
    """Drop log lines that cannot be written, as on a full disk. Call this while the replica is created.

    Python would report them on stderr, which Ray Serve 2.60 sends to the same log: the call that logged would
    fail with a RecursionError, although it was done."""
    logging.raiseExceptions = False
