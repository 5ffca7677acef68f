from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.peers.virtual_environment import make_environment, requirements_of


def test_an_environment_is_kept(tmp_path: Path) -> None:
    """An environment with the same requirements is used again."""
    (tmp_path / "ready.txt").write_text("one==1\ntwo==2")
    assert make_environment(tmp_path, ("one==1", "two==2")) == tmp_path / "bin"
    assert [path.name for path in tmp_path.iterdir()] == ["ready.txt"]


def test_what_cannot_be_installed_is_named(tmp_path: Path) -> None:
    """The error has pip's output, and the failed environment is not marked as ready."""
    missing = str(tmp_path / "no-such-package")
    with pytest.raises(LoadTestError, match=r"no-such-package ended with 1: (.|\n)*no-such-package"):
        make_environment(tmp_path / "peer", (missing,))
    assert not (tmp_path / "peer" / "ready.txt").exists()


def test_all_peers_share_our_onnxruntime() -> None:
    """Each server's environment pins our versions of onnxruntime and numpy."""
    _, runtime, numpy = requirements_of("peer==1")
    assert runtime.startswith("onnxruntime==")
    assert numpy.startswith("numpy==")
