"""A replica's log on a full disk."""

import errno
import io
import logging
import sys

import pytest
from ray.serve._private.logging_utils import StreamToLogger

from deployments.logs import ignore_log_errors


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")


def test_a_log_that_cannot_be_written_fails_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log error on a full disk raises nothing, even if stderr goes to the same log."""
    log = logging.getLogger("test.full")
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(_Full())])
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(sys, "stderr", StreamToLogger(log, logging.ERROR, sys.stderr))
    monkeypatch.setattr(logging, "raiseExceptions", True)
    with pytest.raises(RecursionError):
        log.error("a command was done")
    ignore_log_errors()
    log.error("a command was done")
