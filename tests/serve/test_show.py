import json
from pathlib import Path

import pytest

from serve.show import show


def test_the_table_shows_every_variant_and_who_was_rejected(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The baseline stands first, a rejected variant with its reason."""
    assert show([str(repository / "linear")]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["base", "light", "poor"]
    assert rows[-1].endswith("accuracy 0.50 is 0.40 below the baseline's, floor 0.02")


def test_json_has_the_same_figures(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs, versioned."""
    show([str(repository / "linear"), "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema_version"] == 1
    assert [variant["variant"] for variant in shown["variants"]] == ["base", "light", "poor"]
