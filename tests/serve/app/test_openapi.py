"""The OpenAPI document against its server: each example in it is sent."""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from onnx import TensorProto, helper, numpy_helper
from openapi_spec_validator import OpenAPIV31SpecValidator

from serve.app.asgi import create_app
from serve.app.openapi import openapi
from serve.base.access import Access
from serve.base.errors import CounterweightError
from serve.base.routing import Routes
from serve.base.settings import Settings
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.bundle import read_bundle
from serve.engine.catalog import Catalog, IndexEntry, LoadedModel, LoadedVariant
from serve.engine.placement import LocalPlacement, Placement
from serve.engine.registry import Registry
from serve.engine.session import open_session
from serve.http.http_server import HttpServer
from serve.observe.observer import Observer
from serve.openapi.protocol_examples import INFER_EXAMPLES
from serve.openapi.schema_text import resolve
from tests.conftest import make_bundle
from tests.serve.local_control import LocalControl
from tests.serve.model_keeper import digests_of
from tests.serve.texts import make_text_bundle

DOCUMENT = openapi()
DIGITS = Signature(
    inputs=(TensorSpec(name="image", datatype="FP32", shape=("batch", 1, 8, 8)),),
    outputs=(TensorSpec(name="logits", datatype="FP32", shape=("batch", 10)),),
)
OPEN = Access(loopback=True)
CONTROL = LocalControl(model="digits", baseline="fp32", candidate="slim-int8")
# Method, path, and the example's body, if it has one.
Call = tuple[str, str, str | None]


class Index:
    """A repository in which loading and unloading does nothing."""

    async def index(self) -> list[IndexEntry]:
        return [IndexEntry(name="digits", version="fp32", state="READY", reason="")]

    async def load(self, model: str, variant: str | None) -> None:
        """Accept the load and do nothing."""

    async def unload(self, model: str, variant: str | None) -> None:
        """Accept the unload and do nothing."""


def digits_graph() -> bytes:
    """An ONNX graph with the digits model's signature; its answers mean nothing."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["pixels"]),
            helper.make_node("MatMul", ["pixels", "weights"], ["logits"]),
        ],
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(np.eye(64, 10, dtype=np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = onnx.ModelProto.SerializeToString(model)
    return content


def loaded(folder: Path) -> LoadedModel:
    """The model in `folder`, all traffic to its baseline."""
    bundles = {path.name: read_bundle(path) for path in folder.iterdir()}
    variants = {
        name: LoadedVariant(digest=digests_of(name)[name], folder=str(folder / name), host=None, full_rows=8)
        for name in bundles
    }
    bundle = next(iter(bundles.values()))
    routes = Routes(model=folder.name, baseline=bundle.baseline, weights={bundle.baseline: 1})
    return LoadedModel(
        name=folder.name, signature=bundle.signature, task="classification", routes=routes, variants=variants
    )


async def place(version: LoadedVariant) -> Placement:
    return LocalPlacement(open_session(Path(version.folder)))


async def ask_everything(repository: Path) -> dict[Call, httpx2.Response]:
    """The server's answer to every example in the document."""
    registry = Registry(place, Settings())
    catalog = Catalog(revision=1, models={path.name: loaded(path) for path in repository.iterdir()})
    assert await registry.apply(catalog) == {}
    CONTROL.load(repository, catalog)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = HttpServer(create_app(registry, Index(), CONTROL, OPEN, Settings(), Observer()), Settings())
    server.start("127.0.0.1", port)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answers = {}
            for asked, url, body in examples():
                prepare(asked[1])
                answers[asked] = await client.request(asked[0], url, json=body)
            return answers
    finally:
        await server.stop()
        await registry.apply(Catalog(revision=2))


def prepare(path: str) -> None:
    """Bring the rollout to a state in which the request of `path` is allowed."""
    CONTROL.forget()
    if path.endswith("/resume"):
        CONTROL.keeper.act("pause", "ann")
    elif path.endswith("/accept"):
        CONTROL.come_to("watched")
    elif path.endswith(("/routes", "/rollouts")):
        CONTROL.come_to("aborted")


def examples() -> Iterator[tuple[Call, str, Any]]:
    """Return the method, URL and body of each example in the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            url = path
            for parameter in operation.get("parameters", ()):
                known = resolve(DOCUMENT, parameter)
                url = url.replace(f"{{{known['name']}}}", str(known.get("example")))
            if method == "get":
                yield (method, path, None), url, None
            else:
                named = operation["requestBody"]["content"]["application/json"]["examples"]
                for example in named.values():
                    yield (method, path, example["summary"]), url, example["value"]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Call, httpx2.Response]:
    repository = tmp_path_factory.mktemp("documented") / "models"
    for variant in ("fp32", "int8", "slim-int8"):
        graph = digits_graph()
        make_bundle(repository, variant, model="digits", baseline="fp32", content=graph, signature=DIGITS)
    for variant in ("base", "fp32"):
        make_text_bundle(repository, variant, model="minilm")
    return asyncio.run(ask_everything(repository))


ASKED = [asked for asked, _, _ in examples()]


def test_the_document_is_valid() -> None:
    """The document is valid by the schema of OpenAPI 3.1, including its examples."""
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_example_works(asked: Call, answers: Mapping[Call, httpx2.Response]) -> None:
    """A request that is copied from the page succeeds."""
    assert answers[asked].is_success, answers[asked].text


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_answer_is_as_documented(asked: Call, answers: Mapping[Call, httpx2.Response]) -> None:
    """The media type, the body and the headers of each answer are as the document declares."""
    documented = DOCUMENT["paths"][asked[1]][asked[0]]["responses"][str(answers[asked].status_code)]
    media_type = answers[asked].headers["content-type"].partition(";")[0]
    assert media_type in documented["content"]
    assert set(documented["headers"]) <= set(answers[asked].headers)
    if schema := documented["content"][media_type].get("schema"):
        Draft202012Validator(schema | {"components": DOCUMENT["components"]}).validate(answers[asked].json())


def test_every_path_of_the_server_is_documented() -> None:
    """The document has exactly the paths of the server."""
    app: Any = create_app(Registry(place, Settings()), Index(), CONTROL, OPEN, Settings(), Observer())
    assert {route.path for route in app._app.routes} == set(DOCUMENT["paths"])


def test_every_status_of_an_error_is_documented() -> None:
    """The document has a response for the status of each error class."""
    statuses = {str(error.status) for error in CounterweightError.__subclasses__()}
    assert statuses <= set(DOCUMENT["components"]["responses"])


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": []},
        {"inputs": [{"name": "image"}]},
        {"id": 7},
        {"parameters": {"timeout": 0}},
        {"parameters": {"timeout": "soon"}},
        {"parameters": {"triton_enable": True}},
        {"parameters": {"sequence_id": 5}},
        {"parameters": {"mine": [1]}},
        {"outputs": [{"name": "logits", "parameters": {"classification": 0}}]},
    ],
    ids=str,
)
def test_what_the_server_refuses_the_schema_refuses(change: dict[str, Any]) -> None:
    """The schema rejects each changed request that the server rejects, and accepts the original."""
    schema = {"$ref": "#/components/schemas/InferenceBody", "components": DOCUMENT["components"]}
    valid = Draft202012Validator(schema)
    request = INFER_EXAMPLES["A handwritten zero"]
    assert valid.is_valid(request)
    assert not valid.is_valid(request | change)
