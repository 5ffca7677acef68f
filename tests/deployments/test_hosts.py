"""What the keeper passes to hosts, without Ray."""

from pathlib import Path
from typing import Any

import pytest

from deployments.hosts import Hosts
from serve.engine.shapes import read_shapes, shapes_path


def made(scratch: Path) -> tuple[Hosts, Path]:
    """Hosts, and a copy of a bundle of `linear`."""
    copy = scratch / "bundles" / "linear.light.0123"
    copy.mkdir(parents=True)
    plan: Any = None
    return Hosts(plan, scratch), copy


def test_shapes_of_all_gateways_stand_beside_the_copies(tmp_path: Path) -> None:
    """The shapes of all gateways are written beside a bundle's copy, and only if there are new ones."""
    hosts, copy = made(tmp_path)
    path = shapes_path(copy, "linear")
    hosts.store_shapes({"linear": [((3, 4),)]})
    hosts.store_shapes({"linear": [((9, 4),), ((3, 4),)]})
    assert read_shapes(path) == (((9, 4),), ((3, 4),))
    path.unlink()
    hosts.store_shapes({"linear": [((3, 4),)]})
    assert not path.exists()


def test_a_full_disk_keeps_nobody_from_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is logged and does not raise."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deployments.hosts.write_shapes", full)
    hosts, _ = made(tmp_path)
    hosts.store_shapes({"linear": [((3, 4),)]})
    assert "[Errno 28]" in caplog.text
