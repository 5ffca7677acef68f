"""Which answers of a variant are valid, and which variant an invalid one counts against."""

import asyncio
import struct
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.grpc as triton

from deployments.ports import free_ports
from serve.base.errors import InvalidRequest, ModelFailed
from serve.counting.count_delta import Count
from serve.counting.rollout_counter import Watch
from serve.engine.admission import Answer
from serve.engine.batch import Outputs
from serve.observe.observer import Observer
from serve.oip.grpc_server import GrpcServer
from serve.oip.grpc_service import grpc_handler
from tests.conftest import make_bundle
from tests.serve.clock import run
from tests.serve.endpoint import Endpoint
from tests.serve.served_model import Hosts, ask, request_of, scale_of, two
from tests.serve.texts import make_text_bundle
from tests.serve.watched_model import BASE, LIGHT, counts_of, watched

SPOILT = 7.0
RESCUED = {"rescued_from": "light"}


def spoilt(*variants: str) -> Hosts:
    """Two variants, of which these answer NaN to rows of SPOILT."""
    hosts = two()
    for variant in variants:
        hosts[variant].spoilt = SPOILT
    return hosts


def test_nan_is_the_candidates_error_whatever_could_carry_it() -> None:
    """NaN is the candidate's error and the baseline answers, even if the encoding could carry NaN."""

    async def scenario() -> Any:
        async with watched(hosts=spoilt("light")) as model:
            answer = await ask(model, request_of(SPOILT))
            tally = model.tallies["light"]
            return answer.variant, answer.parameters, counts_of(model), dict(tally.failures), tally.rescues

    assert run(scenario()) == ("base", RESCUED, {LIGHT: (1, 1)}, {"ModelFailed": 1}, 1)


@pytest.mark.parametrize("variant", ["light", "base"])
def test_nan_of_both_is_nobodys_error(variant: str) -> None:
    """NaN from both variants is no error, and the answer of the chosen variant is returned."""

    async def scenario() -> Any:
        async with watched(variant, spoilt("base", "light")) as model:
            answer = await ask(model, request_of(SPOILT))
            return answer.variant, answer.parameters, counts_of(model)

    assert run(scenario()) == (variant, {}, {LIGHT if variant == "light" else BASE: (1, 0)})


STRANGE: dict[str, Callable[[Outputs], Outputs]] = {
    "another width": lambda outputs: {"y": outputs["y"][:, :2]},
    "no rows": lambda outputs: {"y": outputs["y"][0]},
    "a row too many": lambda outputs: {"y": np.repeat(outputs["y"], 2, axis=0)},
    "another type": lambda outputs: {"y": outputs["y"].astype(np.int64)},
    "another output": lambda outputs: {"z": outputs["y"]},
}


@pytest.mark.parametrize("bend", STRANGE.values(), ids=list(STRANGE))
def test_what_the_signature_does_not_say_is_the_candidates_error(bend: Callable[[Outputs], Outputs]) -> None:
    """An answer that violates the signature is rescued and counts as the candidate's error."""

    async def scenario() -> Any:
        hosts = two()
        hosts["light"].bend = bend
        async with watched(hosts=hosts) as model:
            answer = await ask(model)
            return answer.variant, answer.parameters, scale_of(answer), counts_of(model)

    assert run(scenario()) == ("base", RESCUED, 1.0, {LIGHT: (1, 1)})


def test_what_both_answer_against_the_signature_is_nobodys_error() -> None:
    """If both variants violate the signature, that is no error and the chosen variant's answer is
    returned."""

    async def scenario() -> Any:
        hosts = two()
        for host in hosts.values():
            host.bend = STRANGE["another width"]
        async with watched(hosts=hosts) as model:
            return (await ask(model)).variant, counts_of(model)

    assert run(scenario()) == ("light", {LIGHT: (1, 0)})


def test_a_strange_answer_does_not_stand_for_nan_of_the_baseline() -> None:
    """An invalid answer of the candidate is its error, even if the baseline answers NaN."""

    async def scenario() -> Any:
        hosts = spoilt("base", "light")
        hosts["light"].bend = STRANGE["another width"]
        async with watched(hosts=hosts) as model:
            return (await ask(model, request_of(SPOILT))).variant, counts_of(model)

    assert run(scenario()) == ("base", {LIGHT: (1, 1)})


def test_nan_reaches_who_asks_for_the_variant_by_name() -> None:
    """A pinned request gets the answer with NaN."""

    async def scenario() -> str:
        async with watched(hosts=spoilt("light")) as model:
            return (await ask(model, request_of(SPOILT), pinned="light")).variant

    assert run(scenario()) == "light"


def test_nan_of_one_client_is_not_another_ones() -> None:
    """In a shared run, only the request whose rows are NaN is rescued."""

    async def scenario() -> Any:
        hosts = spoilt("light")
        hosts["light"].leave.clear()
        async with watched(hosts=hosts, max_wait_s=1) as model:
            asked = [asyncio.create_task(ask(model, request_of(value))) for value in (1.0, SPOILT, 2.0)]
            await asyncio.sleep(0.1)
            hosts["light"].leave.set()
            answers = await asyncio.gather(*asked)
            return [answer.variant for answer in answers], hosts["light"].sizes, counts_of(model)

    assert run(scenario()) == (["light", "base", "light"], [1, 2], {LIGHT: (3, 1)})


@pytest.mark.parametrize("error", [ModelFailed("NaN"), InvalidRequest("no UTF-8"), KeyError("y")], ids=repr)
def test_an_answer_that_cannot_be_encoded_is_rescued(error: Exception) -> None:
    """An answer that cannot be encoded counts as the variant's error, and the baseline answers."""

    def encode(answer: Answer) -> Answer:
        if answer.variant == "light":
            raise error
        return answer

    async def scenario() -> Any:
        async with watched() as model:
            answer = await ask(model, encode=encode)
            return answer.variant, scale_of(answer), answer.parameters, counts_of(model)

    assert run(scenario()) == ("base", 1.0, RESCUED, {LIGHT: (1, 1)})


@pytest.mark.parametrize(("variant", "choice"), [("light", LIGHT), ("base", BASE)])
def test_an_answer_that_nobody_can_encode_is_an_error_of_who_was_chosen(variant: str, choice: Any) -> None:
    """An answer that cannot be encoded from either variant is an error of the chosen one."""

    def encode(answer: Answer) -> Answer:
        raise ModelFailed("NaN")

    async def scenario() -> Any:
        async with watched(variant) as model:
            with pytest.raises(ModelFailed):
                await ask(model, encode=encode)
            return counts_of(model), model.tallies["base"].errors

    assert run(scenario()) == ({choice: (1, 1)}, 1)


def test_a_shadow_gets_no_copy_of_what_could_not_be_answered() -> None:
    """A request whose answer cannot be encoded is not copied."""

    def encode(answer: Answer) -> Answer:
        raise ModelFailed("NaN")

    async def scenario() -> int:
        async with watched("base") as model:
            model.route(model.routes.model_copy(update={"shadows": {"light": 1.0}, "revision": 4}), None)
            with pytest.raises(ModelFailed):
                await ask(model, encode=encode)
            await asyncio.sleep(1)
            return model.tallies["light"].copies

    assert run(scenario()) == 0


# These run through both protocols, end to end: a candidate whose answers are all NaN gets all requests.
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
BINARY = {"binary_data_output": True}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    repository = tmp_path_factory.mktemp("repository") / "models"
    for variant, scale in (("base", 1.0), ("light", np.nan)):
        make_bundle(repository, variant, scale=scale)
        make_text_bundle(repository, variant, scale=scale)
    light: dict[str, dict[str, float]] = {name: {"base": 0.0, "light": 1.0} for name in ("linear", "words")}
    with Endpoint(repository=repository, weights=light) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def grpc_client(endpoint: Endpoint) -> Iterator[Any]:
    [port] = free_ports(1)

    async def start() -> GrpcServer:
        settings = endpoint.settings
        handler = grpc_handler(endpoint.registry, endpoint.shelf, endpoint.access, settings, Observer())
        server = GrpcServer(handler, settings)
        await server.start("127.0.0.1", port)
        return server

    server = endpoint.call(start())
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client
    endpoint.call(server.stop())


def post(endpoint: Endpoint, path: str, body: object) -> httpx2.Response:
    answer = endpoint.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer


def infer(endpoint: Endpoint, **asked: object) -> httpx2.Response:
    return post(endpoint, "/v2/models/linear/infer", {"inputs": [TENSOR], **asked})


def over_json(endpoint: Endpoint, _: Any) -> list[float]:
    data: list[float] = infer(endpoint).json()["outputs"][0]["data"]
    return data


def over_binary(endpoint: Endpoint, _: Any) -> list[float]:
    return list(struct.unpack("<3f", infer(endpoint, parameters=BINARY).content[-12:]))


def over_classes(endpoint: Endpoint, _: Any) -> list[float]:
    outputs = [{"name": "y", "parameters": {"classification": 3}}]
    data = infer(endpoint, outputs=outputs).json()["outputs"][0]["data"]
    return [float(each.split(":")[0]) for each in data]


def over_embeddings(endpoint: Endpoint, _: Any) -> list[float]:
    answer = post(endpoint, "/v1/embeddings", {"model": "words", "input": "hello there"})
    vector: list[float] = answer.json()["data"][0]["embedding"]
    return vector


def over_grpc(_: Endpoint, client: Any) -> list[float]:
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([[1, 2, 3, 4]], np.float32))
    values: list[float] = client.infer("linear", [tensor]).as_numpy("y")[0].tolist()
    return values


TEN = [10.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("over", "model", "values"),
    [
        (over_json, "linear", TEN),
        (over_binary, "linear", TEN),
        (over_classes, "linear", TEN),
        (over_grpc, "linear", TEN),
        # [CLS] hello there [SEP]: 101 + 7592 + 2045 + 102.
        (over_embeddings, "words", [9840.0, 4.0]),
    ],
)
def test_nan_is_an_error_and_rescued_on_every_wire(
    endpoint: Endpoint,
    grpc_client: Any,
    over: Callable[[Endpoint, Any], list[float]],
    model: str,
    values: list[float],
) -> None:
    """Over each protocol, NaN is rescued by the baseline and counts as one error."""
    served = endpoint.registry.models[model]

    async def begin() -> None:
        watch = Watch(rollout="r", baseline="base", candidate="light", limit_ms=None, feedback=False)
        served.route(served.routes, None)
        served.route(served.routes, watch)

    async def counted() -> list[Count]:
        delta = served.delta()
        return [] if delta is None else list(delta.counts.values())

    endpoint.call(begin())
    assert over(endpoint, grpc_client) == values
    assert endpoint.call(counted()) == [Count(requests=1, errors=1)]
