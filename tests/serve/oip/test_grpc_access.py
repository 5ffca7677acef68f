"""Which calls are admitted with which token."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from serve.base.access import Access, Role, read_grants
from serve.observe.access_log import AccessLog
from serve.observe.observer import Observer
from serve.oip import inference_pb2 as wire
from serve.oip.grpc_calls import SERVICE
from tests.serve.endpoint import Endpoint
from tests.serve.oip.calls import infer, running

ROLES: tuple[Role, ...] = ("view", "operate", "infer")
LOAD = ("RepositoryModelLoad", wire.RepositoryModelLoadRequest(model_name="linear"))
UNLOAD = ("RepositoryModelUnload", wire.RepositoryModelUnloadRequest(model_name="linear"))
INPUT = wire.ModelInferRequest.InferInputTensor(
    name="x", datatype="FP32", shape=[1, 4], contents=wire.InferTensorContents(fp32_contents=[1] * 4)
)
INFER = ("ModelInfer", wire.ModelInferRequest(model_name="linear", inputs=[INPUT]))
ASK = [
    INFER,
    ("ServerMetadata", wire.ServerMetadataRequest()),
    ("ModelMetadata", wire.ModelMetadataRequest(name="linear")),
    ("ModelConfig", wire.ModelConfigRequest(name="linear")),
    ("ModelStatistics", wire.ModelStatisticsRequest(name="linear")),
]
OPEN = [
    ("ServerLive", wire.ServerLiveRequest()),
    ("ServerReady", wire.ServerReadyRequest()),
    ("ModelReady", wire.ModelReadyRequest(name="linear")),
    ("RepositoryIndex", wire.RepositoryIndexRequest()),
]


def of(role: Role | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata with this role's token."""
    return () if role is None else (("authorization", f"Bearer {role:=<16}"),)


def code(address: str, call: tuple[str, Any], role: Role | None = None) -> str:
    """Return the name of the code with which the call ends."""
    name, request = call
    with grpc.insecure_channel(address) as channel:
        ask: Any = channel.unary_unary(f"/{SERVICE}/{name}", type(request).SerializeToString)
        answered: grpc.StatusCode = ask.future(request, 10, of(role)).code()
        return answered.name


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Access:
    """A token for each role."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.yaml"
    path.write_text(yaml.safe_dump([{"name": r, "role": r, "token": f"{r:=<16}"} for r in ROLES]))
    return Access(grants=read_grants(path), loopback=False)


@pytest.fixture(scope="module")
def guarded(module_repository: Path, access: Access) -> Iterator[tuple[Endpoint, str]]:
    with running(module_repository, access=access) as (endpoint, address):
        yield endpoint, address


@pytest.mark.parametrize("call", [LOAD, UNLOAD], ids=lambda call: call[0])
def test_loading_needs_a_token_to_operate(guarded: tuple[Endpoint, str], call: tuple[str, Any]) -> None:
    """Loading needs the role operate; with any other role nothing changes."""
    endpoint, address = guarded
    codes = [code(address, call, role) for role in (None, "view", "infer")]
    assert codes == ["UNAUTHENTICATED", "PERMISSION_DENIED", "PERMISSION_DENIED"]
    assert endpoint.shelf.told == []
    assert code(address, call, "operate") == "OK"
    endpoint.shelf.told.clear()


@pytest.mark.parametrize("call", ASK, ids=lambda call: call[0])
def test_asking_needs_a_token_where_one_is_for_that(
    guarded: tuple[Endpoint, str], call: tuple[str, Any]
) -> None:
    """Inference needs the role infer or operate."""
    codes = [code(guarded[1], call, role) for role in (None, "view", "infer", "operate")]
    assert codes == ["UNAUTHENTICATED", "PERMISSION_DENIED", "OK", "OK"]


@pytest.mark.parametrize("call", OPEN, ids=lambda call: call[0])
def test_health_and_the_index_are_open(guarded: tuple[Endpoint, str], call: tuple[str, Any]) -> None:
    """Health calls and the index need no token."""
    assert code(guarded[1], call) == "OK"


def test_a_stream_without_a_token_ends_at_once(guarded: tuple[Endpoint, str]) -> None:
    """A stream without a token fails at once with UNAUTHENTICATED."""
    with grpc.insecure_channel(guarded[1]) as channel:
        path, write = f"/{SERVICE}/ModelStreamInfer", wire.ModelInferRequest.SerializeToString
        ask: Any = channel.stream_stream(path, write)
        assert ask(iter([INFER[1]]), 10).code() is grpc.StatusCode.UNAUTHENTICATED
        assert len(list(ask(iter([INFER[1]]), 10, of("infer")))) == 1


def test_tritons_client_can_show_a_token(guarded: tuple[Endpoint, str]) -> None:
    """Triton's client sends the token as a header."""
    assert infer(guarded[1], headers=dict(of("infer"))).as_numpy("y").tolist() == [[8.0] * 3] * 2


def test_beyond_this_machine_without_tokens_only_loading_is_closed(module_repository: Path) -> None:
    """On a public address without tokens, inference is open and loading is closed."""
    with running(module_repository, access=Access(loopback=False)) as (endpoint, address):
        assert [code(address, call, "operate") for call in (LOAD, UNLOAD)] == ["PERMISSION_DENIED"] * 2
        assert {code(address, call) for call in (*ASK, *OPEN)} == {"OK"}
    assert endpoint.shelf.told == []


def test_a_refused_inference_is_in_the_access_log(
    module_repository: Path, access: Access, tmp_path: Path
) -> None:
    """The access log has the refused call and not its token."""
    log = AccessLog(tmp_path / "log")
    with running(module_repository, access=access, observer=Observer(log)) as (_, address):
        code(address, INFER, "view")
    log.close()
    written = (tmp_path / "log").read_text()
    assert '"error":"RefusedAccess"' in written
    assert "view====" not in written
