"""The detector of digits is trained, exported, served, and compared in a shadow."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import yaml

from export.data.datasets import read_data
from export.pipeline import run
from export.recipes.digit_boxes import digit_boxes_data, digit_boxes_model, learn
from export.reproducible import reproducible, seed_everything
from serve.base.routing import Routes
from serve.base.settings import Settings
from serve.bundles.bundle import Bundle, read_bundle
from serve.counting.rollout_counter import Watch
from serve.counting.shadow_results import ShadowResults
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant
from serve.engine.placement import LocalPlacement, Placement
from serve.engine.registry import Registry
from serve.engine.request import InferRequest, RequestedOutput
from serve.engine.session import open_session
from serve.tasks.compare_outputs import compare
from tests.serve.served_model import ask

RECIPE = Path("export/recipes/digit_boxes.yaml")
# Fewer than the recipe's, because the test needs no good detector.
EPOCHS, ROWS = 7, 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundles of fp32 and int8."""
    home = tmp_path_factory.mktemp("digit_boxes")
    data = read_data(digit_boxes_data(), "digit_boxes_data", task="detection")
    with reproducible():
        seed_everything(0)
        model = digit_boxes_model()
        learn(model, data.require_train("training"), EPOCHS)
    (home / "net.safetensors").write_bytes(safetensors.torch.save(model.state_dict()))
    recipe = yaml.safe_load(RECIPE.read_text())
    recipe["source"]["checkpoint"] = "net.safetensors"
    recipe["variants"] = {name: recipe["variants"][name] for name in ("fp32", "int8")}
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run(home / "recipe.yaml", home / "models").model.folder


def bundle_of(folder: Path, variant: str = "int8") -> Bundle:
    """What the export wrote of a variant."""
    return read_bundle(folder / variant)


def test_the_detector_learns_and_its_integers_keep_it(folder: Path) -> None:
    """Boxes and classes are read from [batch, 14, 36] without a rule in the recipe."""
    bundle = bundle_of(folder)
    assert not bundle.rejected
    assert bundle.figures.quality.map50
    assert bundle.figures.quality.map50.value > 0.1
    [output] = bundle.figures.quality.outputs
    form = output.meaning
    assert (form.layout, form.axis, form.box, form.activation) == ("scores", 1, "cxcywh", "none")


def catalog_of(folder: Path, weights: dict[str, float], shadows: dict[str, float]) -> Catalog:
    """Both variants, of which a rollout watches int8."""
    bundles = {name: bundle_of(folder, name) for name in ("fp32", "int8")}
    loaded = LoadedModel(
        name="digit-boxes",
        signature=bundles["fp32"].signature,
        task="detection",
        routes=Routes(
            model="digit-boxes", baseline="fp32", weights=weights, shadows=shadows, revision=2 - len(shadows)
        ),
        watch=Watch(rollout="r1", baseline="fp32", candidate="int8", limit_ms=None, feedback=False),
        variants={
            name: LoadedVariant(digest=bundle.digest, folder=str(folder / name), host=None, full_rows=8)
            for name, bundle in bundles.items()
        },
    )
    return Catalog(revision=2 - len(shadows), models={"digit-boxes": loaded})


def test_a_shadow_and_the_new_variant_answer_with_boxes(folder: Path) -> None:
    """The gateway counts the rows on which the detections differ as the export does; then int8 answers all
    requests."""
    images = digit_boxes_data()["held_out"][0]["image"][:ROWS]

    def request_of(row: int) -> InferRequest:
        outputs = (RequestedOutput(name="boxes"),)
        return InferRequest(id=None, arrays={"image": images[row : row + 1]}, outputs=outputs, timeout_s=60)

    async def place(version: LoadedVariant) -> Placement:
        return LocalPlacement(open_session(Path(version.folder)))

    async def scenario() -> tuple[ShadowResults, Any]:
        registry = Registry(place, Settings(), None)
        assert not await registry.apply(catalog_of(folder, {"fp32": 1}, {"int8": 1.0}))
        model = registry.models["digit-boxes"]
        for row in range(ROWS):
            assert (await ask(model, request_of(row))).variant == "fp32"
        assert model.counter
        while model.counter.copies.pairs.pairs < ROWS:
            await asyncio.sleep(0.01)
        copies = model.counter.copies
        await registry.apply(catalog_of(folder, {"fp32": 0, "int8": 1}, {}))
        answer = await ask(registry.models["digit-boxes"], request_of(0))
        await registry.apply(Catalog(revision=9))
        return copies, answer

    copies, answer = asyncio.run(scenario())
    before, after = (open_session(folder / name).run({"image": images})["boxes"] for name in ("fp32", "int8"))
    assert answer.variant == "int8"
    assert answer.ran.outputs["boxes"] == pytest.approx(after[:1], abs=1e-3)
    meaning = bundle_of(folder).figures.quality.outputs[0].meaning
    expected = compare("detection", before, after, meaning).differ
    assert (copies.pairs.pairs, copies.pairs.disagreements) == (ROWS, expected.sum())
