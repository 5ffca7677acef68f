"""A model of Hugging Face is a folder beside the recipe, or one named version on the hub."""

from pathlib import Path

import huggingface_hub
import pytest

from export.errors import InvalidSource
from export.recipe import HuggingFaceSource
from export.sources.hub import digest_model
from export.sources.read_trained import read_trained


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("no/such", None, r"no/such is not a folder; .*give `source\.revision`"),
        ("../../no/such", None, "not a folder, and '../../no/such' is not an id"),
        (".", "main", r"`source\.revision` belongs to the hub"),
    ],
)
def test_a_source_is_a_folder_or_a_version_on_the_hub(
    tmp_path: Path, name: str, revision: str | None, message: str
) -> None:
    """A source that is neither a folder nor a fixed version on the hub is refused."""
    with pytest.raises(InvalidSource, match=message):
        read_trained(HuggingFaceSource(huggingface=name, revision=revision), tmp_path, "embedding")


def test_without_a_network_the_fix_is_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the error gives the command that downloads the model."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    source = HuggingFaceSource(huggingface="no/such", revision="abc")
    with pytest.raises(InvalidSource, match=r"run `hf download no/such --revision abc --local-dir FOLDER`"):
        read_trained(source, tmp_path, "embedding")


def test_the_digest_is_of_every_file_that_is_read(tmp_path: Path) -> None:
    """The digest depends on each file that is read, and not on others."""
    (tmp_path / "config.json").write_text("{}")
    before = digest_model(tmp_path)
    (tmp_path / "README.md").write_text("a note")
    assert digest_model(tmp_path) == before
    (tmp_path / "config.json").write_text("{ }")
    assert digest_model(tmp_path) != before
