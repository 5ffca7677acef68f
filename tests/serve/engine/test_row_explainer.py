"""One row in a thousand of a shadow's copies is explained by both variants."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.base.errors import ModelFailed
from serve.base.settings import Settings
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.bundles.figures import Explained, Quality
from serve.bundles.meaning import Meaning
from serve.counting.comparison import Comparison
from serve.counting.tally import Tally
from serve.engine import row_explainer
from serve.engine.batch import Joining
from serve.engine.catalog import LoadedVariant
from serve.engine.placement import Run
from serve.engine.queue import Queue
from serve.engine.row_explainer import RowExplainer
from serve.engine.shadow_copy import Copy
from serve.engine.variant import ServedVariant
from tests.conftest import SIGNATURE, make_bundle, make_figures
from tests.serve.clock import run as run_scenario
from tests.serve.gateway import Gateway, run
from tests.serve.host import Host
from tests.serve.served_model import ask, request_of
from tests.serve.shadows import LATER_S, WATCH, copies_of, shadowed

MEANINGS = {"y": Meaning(kind="classes", form="plain")}
TEXT = Signature(
    inputs=tuple(
        TensorSpec(name=name, datatype="INT64", shape=("batch", "tokens"))
        for name in ("input_ids", "attention_mask")
    ),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=("batch", 2)),),
)
PADS = {"input_ids": 0, "attention_mask": 0}


class Weighted(Host):
    """Scores of two classes: the weighted sum of a row, or of its tokens' ids, and 0."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self._weights = np.array(weights, np.float32)
        self.asked: list[Arrays] = []

    async def run(self, arrays: Arrays) -> Run:
        """Run the arrays; errors and sizes are those of `Host`."""
        self.asked.append(arrays)
        x: Any = arrays.get("x", arrays.get("input_ids"))
        await super().run({"x": np.asarray(x)})
        score = (x * self._weights).sum(axis=1).astype(np.float32)
        return {"y": np.column_stack([score, 0 * score])}, 1.0


def copy_of(arrays: Mapping[str, Any]) -> Copy:
    """A copy of a request."""
    rows = len(next(iter(arrays.values())))
    return Copy({name: np.asarray(array) for name, array in arrays.items()}, {}, rows, "", None)


def explain(
    base: Host,
    light: Host,
    requests: Sequence[Mapping[str, Any]],
    *,
    busy: bool = False,
    text: bool = False,
) -> list[Comparison]:
    """What becomes of each of these requests in turn, in runs of at most two rows."""

    async def scenario() -> list[Comparison]:
        variants = []
        for name, host in (("base", base), ("light", light)):
            pads = PADS if text else {}
            joining = Joining(signature=TEXT if text else SIGNATURE, full_rows=2, pads=pads)
            version = LoadedVariant(digest="0" * 64, folder="nowhere", host=None, full_rows=2)
            queue = Queue(host, joining, Settings(), Tally())
            variants.append(ServedVariant(name, version, host, queue))
        explainer = RowExplainer(variants[1])
        explainer.baseline = variants[0]
        found = [await explainer.explain([copy_of(each)], MEANINGS, lambda: busy) for each in requests]
        for variant in variants:
            await variant.retire()
        return [each for each in found if each is not None]

    return run_scenario(scenario())


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Explain a row of every request after the first."""
    monkeypatch.setattr(row_explainer, "SHARE", 1.0)
    monkeypatch.setattr(row_explainer, "ENOUGH_ROWS", 1)


FIRST, SECOND = {"x": [[0.0] * 4]}, {"x": [[1.0] * 4]}


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize(
    ("weights", "overlap", "rank"),
    [((8, 6, 4, 2), 1.0, 1.0), ((8, 4, 6, 2), 1.0, 0.8), ((1, 2, 3, 4), 0.0, -1.0)],
    ids=["equal", "another order", "opposite"],
)
def test_both_explanations_are_compared(weights: tuple[float, ...], overlap: float, rank: float) -> None:
    """The figures are those of the effects, which are the weights; a scale does not count."""
    [found] = explain(Weighted(4, 3, 2, 1), Weighted(*weights), [FIRST, SECOND])
    assert found.pairs == 0
    assert (found.explanation_overlap.count, found.explanation_overlap.total) == (1, overlap)
    assert found.explanation_rank.total == pytest.approx(rank)


@pytest.mark.usefixtures("_often")
def test_runs_are_no_larger_than_those_of_requests() -> None:
    """The five copies of a row of four columns take three runs of at most two rows."""
    base, light = Weighted(4, 3, 2, 1), Weighted(4, 3, 2, 1)
    explain(base, light, [FIRST, SECOND])
    assert base.sizes == light.sizes == [2, 2, 1]


@pytest.mark.usefixtures("_often")
def test_features_are_replaced_by_the_mean_of_the_first_copies() -> None:
    """Copies that come later do not change it."""
    base = Weighted(4, 3, 2, 1)
    explain(base, Weighted(4, 3, 2, 1), [{"x": [[1.0] * 4, [3.0] * 4]}, {"x": [[9.0] * 4]}])
    assert np.concatenate([np.asarray(each["x"]) for each in base.asked]).tolist() == [
        [9, 9, 9, 9],
        [2, 9, 9, 9],
        [9, 2, 9, 9],
        [9, 9, 2, 9],
        [9, 9, 9, 2],
    ]


@pytest.mark.usefixtures("_often")
def test_tokens_are_replaced_by_the_padding() -> None:
    """Each copy of a text has one token less, whatever the length of the first texts was."""
    base = Weighted(1)
    first = {"input_ids": [[5, 6]], "attention_mask": [[1, 1]]}
    text = {"input_ids": [[7, 8, 9]], "attention_mask": [[1, 1, 1]]}
    [found] = explain(base, Weighted(1), [first, text], text=True)
    asked = np.concatenate([np.asarray(each["input_ids"]) for each in base.asked])
    assert asked.tolist() == [[7, 8, 9], [0, 8, 9], [7, 0, 9], [7, 8, 0]]
    assert found.explanation_overlap.total == 1


@pytest.mark.usefixtures("_often")
def test_nothing_is_explained_while_something_waits() -> None:
    """Explanations give way before anything else does."""
    base = Weighted(4, 3, 2, 1)
    assert explain(base, Weighted(4, 3, 2, 1), [FIRST, SECOND], busy=True) == []
    assert base.sizes == []


@pytest.mark.usefixtures("_often")
def test_a_failure_counts_nowhere() -> None:
    """A variant that fails on a row without a feature was not asked for an answer."""
    light = Weighted(4, 3, 2, 1)
    light.error = ModelFailed("no idea")
    assert explain(Weighted(4, 3, 2, 1), light, [FIRST, SECOND]) == []


@pytest.mark.usefixtures("_often")
def test_a_row_of_another_shape_is_not_explained() -> None:
    """What replaces its features is not known."""
    assert explain(Weighted(1), Weighted(1), [FIRST, {"x": [[1.0] * 5]}, SECOND]) != []
    assert explain(Weighted(1), Weighted(1), [FIRST, {"x": [[1.0] * 5]}]) == []


def test_one_row_in_a_thousand_is_explained() -> None:
    """Of 8,000 rows, 8 within five standard deviations, after the first 64."""
    random.seed(7)
    requests = [{"x": np.full((8, 4), float(number))} for number in range(1008)]
    found = explain(Weighted(4, 3, 2, 1), Weighted(4, 3, 2, 1), requests)
    assert 1 <= len(found) <= 8 + 5 * 8**0.5


@pytest.mark.usefixtures("_often")
def test_a_shadow_counts_them() -> None:
    """They are added to the rollout's evidence and to the tally, and change no other count."""

    async def scenario() -> tuple[Comparison, Tally]:
        hosts = {"base": Weighted(4, 3, 2, 1), "light": Weighted(1, 2, 3, 4)}
        async with shadowed(dict(hosts)) as model:
            model.shadows.meanings = MEANINGS
            model.explains = True
            model.route(model.routes, WATCH)
            for number in range(3):
                await ask(model, request_of(number))
                await asyncio.sleep(LATER_S)
            return copies_of(model).pairs, model.tallies["light"]

    pairs, tally = run_scenario(scenario())
    assert (pairs.pairs, pairs.explanation_overlap.count, pairs.explanation_overlap.total) == (3, 2, 0)
    assert (tally.copies, tally.explained, tally.explanation_overlap) == (3, 2, 0)


@pytest.mark.parametrize("asked", [True, False])
def test_a_gateway_explains_what_the_export_has_explained(tmp_path: Path, asked: bool) -> None:
    """The baseline's bundle tells whether its recipe asked for explanations."""
    figures = Explained(rows=9, features=4, top=1, floor_overlap=1, floor_rank=1)
    quality = Quality(task="classification", rows=10, explained=figures if asked else None)
    make_bundle(tmp_path, "base", figures=make_figures(1, quality=quality))
    gateway = Gateway(tmp_path / "linear" / "base")

    async def scenario() -> bool:
        await gateway.apply(1, base=1, light=2)
        return gateway.model.shadows.explaining is not None

    assert run(gateway, scenario()) == asked
