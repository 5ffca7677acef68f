import stat
from pathlib import Path

import pytest

from serve.base.errors import StoreFailed
from serve.rollout.trail.seal_key import SealKey, key_path, open_key


def test_a_key_is_made_at_its_first_use_for_its_owner_alone(tmp_path: Path) -> None:
    """A key is made at its first use, readable by its owner only, and stays the same."""
    path = tmp_path / "rollouts.key"
    assert open_key(path, make=False) is None
    key, again = open_key(path, make=True), open_key(path, make=True)
    assert key is not None
    assert again is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert again.fits("a text", key.seal("a text"))
    assert [each.name for each in tmp_path.iterdir()] == ["rollouts.key"]


def test_a_seal_fits_its_text_and_its_key_alone() -> None:
    """A seal fits only its own text and key."""
    key = SealKey(bytes(32))
    assert key.fits("a text", key.seal("a text"))
    assert not key.fits("b text", key.seal("a text"))
    assert not key.fits("a text", SealKey(b"1" * 32).seal("a text"))


@pytest.mark.parametrize("text", ["", "no key", "00" * 31])
def test_a_file_that_is_no_key_is_refused_by_name(tmp_path: Path, text: str) -> None:
    """A file that does not contain a valid key is refused by its name."""
    path = tmp_path / "rollouts.key"
    path.write_text(text)
    with pytest.raises(StoreFailed, match=r"rollouts\.key cannot be used.*name another file with --seal-key"):
        open_key(path, make=True)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////srv/models/.rollouts.db", Path("/srv/models/.rollouts.key")),
        ("postgresql://ann@host/rollouts", None),
    ],
)
def test_a_key_lies_beside_a_file(url: str, path: Path | None) -> None:
    """The key is stored beside a SQLite file; a database server has no default place."""
    assert key_path(url) == path
