"""A search of the shipped digits from its recipe to its bundles."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from export.recipe import load_recipe
from serve.bundles.repository import StoredModel, read_model
from tests.export.conftest import RecipeWriter

STEPS = [{"step": "quantize", "method": "static", "per_channel": [True, False]}]


def run(path: Path, out: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run the command, and return its exit code, its JSON and what it printed beside."""
    command = [
        sys.executable,
        "-m",
        "counterweight",
        "search",
        str(path),
        "--out",
        str(out),
        "--json",
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


@pytest.fixture(scope="module")
def path(digits_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipe with a search over two quantizations."""
    root = tmp_path_factory.mktemp("searched")
    shutil.copytree(digits_recipe.parents[2], root, dirs_exist_ok=True)
    path = root / "export" / "recipes" / "digits.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["search"] = {"steps": STEPS, "sampler": "grid", "satisfied": {"speedup": 1.2}}
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def answer(path: Path) -> tuple[int, dict[str, Any], str]:
    """What came of the search. Tests only look at it."""
    return run(path, path.parents[2] / "models")


@pytest.fixture(scope="module")
def model(path: Path, answer: tuple[int, dict[str, Any], str]) -> StoredModel:
    """The bundles that the search has written."""
    return read_model(path.parents[2] / "models" / "digits")


def test_the_answer_is_a_variant_within_the_floor(
    answer: tuple[int, dict[str, Any], str], model: StoredModel
) -> None:
    """The winner is a bundle that the floor accepts on the held-out rows and that is faster."""
    code, found, _ = answer
    assert code == 0
    bundle = model.bundles[found["winner"]]
    assert bundle.rejected is None
    assert bundle.figures.speed.points[-1].speedup.low > 1.2


def test_the_found_recipe_makes_the_bundles(
    path: Path, answer: tuple[int, dict[str, Any], str], model: StoredModel
) -> None:
    """The recipe beside the first has the baseline and the finalists as its variants, and no search."""
    recipe = load_recipe(path.with_name("digits.found.yaml"))
    assert set(recipe.variants) == set(model.bundles) == {"fp32", *answer[1]["finalists"]}
    assert recipe.search is None


def test_the_findings_name_the_operators(answer: tuple[int, dict[str, Any], str]) -> None:
    """The analysis says in which operators the time is spent, and the processor's instructions."""
    assert answer[1]["findings"][0].startswith("time by operator: Conv")
    assert answer[1]["findings"][1].startswith("processor: ")


def test_a_search_without_a_better_variant_answers_with_the_baseline(
    write_recipe: RecipeWriter, tmp_path: Path
) -> None:
    """Where nothing can pay, the baseline is written and the exit code is 1."""
    steps = [{"step": "prune", "remove": "channels", "ratio": [0.75]}]
    path = write_recipe(search={"steps": steps})
    code, found, _ = run(path, tmp_path)
    assert (code, found["winner"]) == (1, None)
    assert list(read_model(tmp_path / "tiny").bundles) == ["fp32"]


@pytest.mark.parametrize(
    ("option", "message"), [("--budget=0m", "no duration"), ("--workers=none", "no number")]
)
def test_a_wrong_option_is_refused(path: Path, option: str, message: str) -> None:
    """A budget and a number of workers that mean nothing are refused with exit code 2."""
    code, _, said = run(path, path.parents[2] / "models", option)
    assert code == 2
    assert message in said
