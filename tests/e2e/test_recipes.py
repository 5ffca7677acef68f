"""Each shipped recipe of another task than classification is exported, served on real Ray, and rolled out to
a compressed variant by evidence."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployments.demo.bad_candidate import plant
from loadtests.sending.client import Client
from loadtests.sending.model_metadata import read_metadata
from loadtests.sending.payloads import make_payloads
from serve.bundles.bundle import read_bundle
from serve.control.cli.control_client import ControlClient
from serve.control.operations import REPLAY, START, VIEW
from serve.rollout.api_records import RolloutRequest, RolloutView
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase
from tests.e2e.server import Server, running_server, wait_until
from tests.e2e.short_exports import export_short, take
from tests.e2e.steady_load import Ask, Steady, steady

# The recipe's variant that its rollout goes to.
RECIPES = {
    "diabetes": "distilled",
    "tumour": "slim",
    "two_digits": "int8",
    "digit_map": "int8",
    "digit_boxes": "int8",
    "digit_search": "int8",
}
# In a bad candidate of these, the last dimension of the output is moved by one.
MIXED = ("two_digits", "digit_search")
RATE = 20.0
_STEP = {"minimum_s": 1, "minimum_requests": 50}
# The limits are generous, because the machine may be busy, and so small networks differ little in cost.
POLICY: dict[str, Any] = {
    "shadow": {"minimum_pairs": 50, "agreement": 0.8},
    "steps": [{"share": 0.5, **_STEP}, {"share": 1.0, **_STEP}],
    "guards": {
        "errors": {"allowed": 0.2},
        "latency": {"quantile": 0.5, "limit_ms": 10_000, "times_baseline": 1_000},
    },
    "cheaper_by": None,
    "watch_s": 0,
    # At this rate, fewer than 1,200 requests come in this time, so a proof of the p95 is not required.
    "maximum_s": 55,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundles of all recipes."""
    folder = tmp_path_factory.mktemp("recipes")
    for recipe, variant in RECIPES.items():
        export_short(recipe, variant, folder)
    for recipe in MIXED:
        plant(folder / "models" / model_of(recipe) / RECIPES[recipe], "mixed-up")
    return folder / "models"


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with running_server(models, "--placement", "together", "--set", "max_queue_wait_s=30") as server:
        yield server


def model_of(recipe: str) -> str:
    """The name of a recipe's model."""
    return recipe.replace("_", "-")


def asks_of(recipe: str) -> list[Ask]:
    """A request for each held-out row."""
    inputs, _ = take(recipe)["held_out"]
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
    return [
        Ask(
            f"/v2/models/{model_of(recipe)}/infer",
            {
                "inputs": [
                    {
                        "name": name,
                        "datatype": "FP32",
                        "shape": [1, *array.shape],
                        "data": array.ravel().tolist(),
                    }
                    for name, array in row.items()
                ]
            },
        )
        for row in rows
    ]


def roll_out(client: ControlClient, candidates: Mapping[str, str]) -> dict[str, RolloutView]:
    """Start a rollout of each recipe to its candidate, and return their ends."""
    policy = Policy.parse(POLICY, "policy")
    names = {
        recipe: client.ask(
            START, model_of(recipe), body=RolloutRequest(candidate=candidate, policy=policy)
        ).rollout.rollout
        for recipe, candidate in candidates.items()
    }
    wait_until(lambda: all(client.ask(VIEW, name).rollout.phase.over for name in names.values()), 500)
    return {recipe: client.ask(VIEW, name) for recipe, name in names.items()}


@dataclass(frozen=True, kw_only=True)
class Told:
    """The ends of the rollouts by recipe, and the load that they were under."""

    bad: dict[str, RolloutView]
    good: dict[str, RolloutView]
    loads: dict[str, Steady]


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """All rollouts, first to the bad candidates."""
    client = ControlClient(server.url)
    with ExitStack() as stack:
        loads = {
            recipe: stack.enter_context(steady(server.port, *asks_of(recipe), rate=RATE, threads=2))
            for recipe in RECIPES
        }
        bad = roll_out(client, dict.fromkeys(MIXED, "mixed-up"))
        return Told(bad=bad, good=roll_out(client, RECIPES), loads=loads)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_compressed_variant_gets_everything(server: Server, told: Told, recipe: str) -> None:
    """The shadow compares the answers, the steps show that they are safe, and a replay says the same."""
    view = told.good[recipe]
    assert view.rollout.phase is Phase.DONE
    assert view.rollout.reason.startswith("safe to go on at 95 % of the traffic: ")
    assert view.routes.weights[RECIPES[recipe]] == 1
    assert view.evidence.shadow.pairs >= POLICY["shadow"]["minimum_pairs"]
    assert ControlClient(server.url).ask(REPLAY, view.rollout.rollout).faults == ()


@pytest.mark.parametrize("recipe", MIXED)
def test_a_mixed_up_candidate_is_rolled_back_in_the_shadow(told: Told, recipe: str) -> None:
    """Labels, or ranks, that stand in other places are harm before a client gets them."""
    view = told.bad[recipe]
    assert view.rollout.phase is Phase.ROLLED_BACK
    assert view.rollout.reason.startswith("harm shown in the shadow: disagreement: ")
    assert {sample.variant for sample in told.loads[recipe].samples} == {"fp32", RECIPES[recipe]}


@pytest.mark.parametrize("recipe", RECIPES)
def test_inputs_made_from_the_metadata_are_answered(server: Server, recipe: str) -> None:
    """A load test needs no file to send valid requests to a model of any task."""
    metadata = read_metadata(Client(url=server.url), model_of(recipe))
    content = make_payloads(metadata, seed=0).encode(0, binary=False).with_id("0000000000")
    answer = server.post(f"/v2/models/{model_of(recipe)}/infer", content)
    assert answer.status == 200
    assert answer.json["outputs"][0]["shape"][0] == 1


def test_no_request_fails(told: Told) -> None:
    """Every request of every model is answered."""
    assert {recipe: load.failed() for recipe, load in told.loads.items()} == {
        recipe: [] for recipe in RECIPES
    }


def test_the_detector_has_learnt_and_says_its_boxes(models: Path) -> None:
    """Boxes and classes are read from [batch, 14, 36] without a rule in the recipe."""
    quality = read_bundle(models / "digit-boxes" / "int8").figures.quality
    assert quality.map50
    assert quality.map50.value > 0.1
    form = quality.outputs[0].meaning
    assert (form.layout, form.axis, form.box, form.activation) == ("scores", 1, "cxcywh", "none")
