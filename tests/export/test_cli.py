"""The export command: figures on standard output, and a reliable exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from export.cli import export
from export.pipeline import ExportOutcome


def test_prints_the_table(tiny_recipe: Path, tiny: ExportOutcome, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a row per variant and exits with 0; standard error lists what was not built."""
    assert export([str(tiny_recipe), "--out", str(tiny.model.folder.parent)]) == 0
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()[2:6]] == [
        "fp32",
        "int8",
        "slim",
        "slim-int8",
    ]
    assert "not built again: fp32, int8, slim, slim-int8" in captured.err


def test_prints_json_alone(
    tiny_recipe: Path, tiny: ExportOutcome, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output is one JSON document with the status of the variants that were asked for."""
    out = str(tiny.model.folder.parent)
    assert export([str(tiny_recipe), "--out", out, "--only", "slim", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 2
    statuses = {item["variant"]: item["status"] for item in document["variants"]}
    assert statuses == {"fp32": "unchanged", "slim": "unchanged"}


def test_a_rejected_variant_is_exit_code_1(
    ruinous_recipe: Path, ruined: ExportOutcome, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export with a rejected variant exits with 1, even if nothing was built."""
    assert export([str(ruinous_recipe), "--out", str(ruined.model.folder.parent)]) == 1
    assert "below the baseline's" in capsys.readouterr().out


def test_help_needs_no_torch() -> None:
    """`--help` imports neither torch nor onnxruntime nor scikit-learn."""
    program = (
        "import sys\n"
        "from export.cli import export\n"
        "try:\n"
        "    export(['--help'])\n"
        "finally:\n"
        "    assert not {'torch', 'onnxruntime', 'sklearn'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "example: counterweight export" in done.stdout


def test_explanations_cost_nothing_unasked(tiny: ExportOutcome) -> None:
    """A recipe without a limit or `explanations: true` has no figures of them."""
    quality = tiny.model.bundles["int8"].figures.quality
    assert quality.explained is None
    assert quality.explanation_overlap is None
