"""The recipe of MiniLM takes its model from the installed package."""

from pathlib import Path

from export.recipes.minilm import find_installed, place


def test_the_whole_model_is_copied(tmp_path: Path) -> None:
    """The copy has the weights, and the pooling in its folder."""
    place(find_installed(), tmp_path / "minilm")
    assert (tmp_path / "minilm" / "model.safetensors").stat().st_size > 50_000_000
    assert (tmp_path / "minilm" / "1_Pooling" / "config.json").is_file()
