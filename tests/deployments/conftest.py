"""Import Ray once, without starting it."""

import warnings

import pytest

with warnings.catch_warnings():
    # The libraries that Ray uses raise DeprecationWarnings.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve as ray_serve

assert ray_serve


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway counts as gone once it has been silent for a twentieth of a second."""
    monkeypatch.setattr("deployments.gateway_reports._GONE_AFTER_S", 0.05)
