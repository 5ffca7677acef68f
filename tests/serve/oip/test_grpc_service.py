import asyncio
import queue
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from serve.base.errors import ModelFailed
from serve.base.routing import STICKY_KEY
from serve.base.settings import Settings
from serve.oip import inference_pb2 as wire
from serve.oip.grpc_calls import SERVICE, status_of

X = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
Told = list[tuple[str, str, str | None]]


def call_raw(address: str, method: str, content: bytes) -> bytes:
    """Send a call without a client library."""
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/{method}")
        return call(content)


def inputs(values: NDArray[Any] = X) -> list[Any]:
    tensor = triton.InferInput("x", list(values.shape), "FP32")
    return [tensor.set_data_from_numpy(values)]


def test_tritons_client_infers(client: Any) -> None:
    """Triton's client gets its arrays, the model, the variant and its id."""
    answer = client.infer("linear", inputs(), request_id="7")
    np.testing.assert_array_equal(answer.as_numpy("y"), [[10, 11, 12], [26, 27, 28]])
    response = answer.get_response()
    assert (response.model_name, response.model_version, response.id) == ("linear", "base", "7")


def test_a_version_pins_and_a_key_sticks(client: Any) -> None:
    """The version pins a variant, and a key in the metadata gives a sticky one."""
    assert client.infer("linear", inputs(), model_version="light").get_response().model_version == "light"
    sticky = client.infer("linear", inputs(), headers={STICKY_KEY: "somebody"})
    assert sticky.get_response().model_version == "light"


def test_classes_have_labels(client: Any) -> None:
    """The client's `class_count` gives classes with their labels."""
    wanted = [triton.InferRequestedOutput("y", class_count=2)]
    answer = client.infer("linear", inputs(), outputs=wanted).as_numpy("y")
    assert answer.tolist() == [[b"12.000000:2:c", b"11.000000:1:b"], [b"28.000000:2:c", b"27.000000:1:b"]]


def test_both_of_a_clients_limits_arrive(client: Any) -> None:
    """The call's deadline and the request's timeout in microseconds both reach the model."""
    answer = client.infer("linear", inputs(), timeout=2_000_000, client_timeout=60, priority=1).get_response()
    assert answer.parameters["asked_s"].double_param == 2.0
    # gRPC rounds a deadline to three digits when it sends it.
    assert 30 < answer.parameters["left_s"].double_param < 61
    assert client.infer("linear", inputs()).get_response().parameters["left_s"].double_param == 0.0


@pytest.mark.parametrize(
    ("variant", "code", "details"),
    [
        ("down", "UNAVAILABLE", "down is gone"),
        ("full", "RESOURCE_EXHAUSTED", "the queue is full"),
        ("late", "DEADLINE_EXCEEDED", "too late"),
        ("broken", "INTERNAL", "no idea"),
        ("buggy", "INTERNAL", "internal error: ZeroDivisionError; see the server's log"),
        ("basee", "NOT_FOUND", "no 'basee' here"),
    ],
)
def test_each_error_has_its_code(client: Any, variant: str, code: str, details: str) -> None:
    """Each error has its gRPC code and message; an unexpected exception shows only its class."""
    with pytest.raises(InferenceServerException) as caught:
        client.infer("linear", inputs(), model_version=variant)
    assert (caught.value.status(), caught.value.message()) == (f"StatusCode.{code}", details)


def test_what_does_not_fit_is_an_invalid_argument(client: Any) -> None:
    """An invalid request gives INVALID_ARGUMENT with the message of HTTP."""
    with pytest.raises(
        InferenceServerException, match=r"INVALID_ARGUMENT.*shape \[2, 3\], expected \[-1, 4\]"
    ):
        client.infer("linear", inputs(X[:, :3]))
    with pytest.raises(InferenceServerException, match=r"NOT_FOUND.*did you mean 'linear'"):
        client.infer("lineer", inputs())


def test_a_long_message_is_cut() -> None:
    """An error message is cut to 1,000 characters, because clients refuse long trailers."""
    _, details = status_of(ModelFailed("é" * 10**6))
    assert details == "é" * 1000


def test_what_is_no_message_is_an_invalid_argument(address: str) -> None:
    """Bytes that are not the expected message give INVALID_ARGUMENT."""
    with pytest.raises(grpc.RpcError, match="10 bytes") as caught:
        call_raw(address, "ModelInfer", b"\xff" * 10)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_what_is_not_here_is_unimplemented(client: Any) -> None:
    """Shared memory, tracing and logging give UNIMPLEMENTED."""
    for call in (client.get_system_shared_memory_status, client.get_trace_settings, client.get_log_settings):
        with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
            call()


def test_health_is_told(client: Any) -> None:
    """Models, variants and the server report readiness; absent and rejected variants are not ready."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("linear")
    assert client.is_model_ready("linear", "light")
    assert not client.is_model_ready("linear", "down")
    assert not client.is_model_ready("linear", "poor")
    assert not client.is_model_ready("other")


def test_metadata_and_configuration_are_those_of_http(client: Any, address: str) -> None:
    """Metadata and configuration have the same values as over HTTP."""
    assert client.get_server_metadata().name == "counterweight"
    metadata = client.get_model_metadata("linear", "light", as_json=True)
    assert metadata["versions"] == ["light"]
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]
    whole = wire.ModelMetadataResponse.FromString(
        call_raw(address, "ModelMetadata", wire.ModelMetadataRequest(name="linear").SerializeToString())
    )
    assert {name: value.int64_param for name, value in whole.parameters.items()} == {
        "max_body_bytes": Settings().max_body_bytes,
        "row_json_bytes": 80,
        "row_binary_bytes": 16,
        "max_steps": 64,
    }
    assert dict(whole.unserved) == {"poor": "accuracy 0.50"}
    config = client.get_model_config("linear").config
    assert (config.name, config.max_batch_size, config.backend) == ("linear", 8, "onnxruntime")
    assert (config.input[0].data_type, list(config.input[0].dims)) == (11, [4])
    assert config.version_policy.WhichOneof("policy_choice") == "all"
    with pytest.raises(InferenceServerException, match="NOT_FOUND"):
        client.get_model_config("linear", "poor")


def test_statistics_are_told_for_one_and_for_all(client: Any) -> None:
    """Statistics are given for a variant, a model or all models."""
    one = client.get_inference_statistics("linear", "base").model_stats
    assert [(entry.name, entry.version, entry.inference_stats.success.count) for entry in one] == [
        ("linear", "base", 3)
    ]
    assert len(client.get_inference_statistics("linear").model_stats) == 7
    assert len(client.get_inference_statistics().model_stats) == 7


def test_the_repository_is_told_and_changed(client: Any, repository_told: Told) -> None:
    """The index has states and reasons; loads and unloads reach the repository, and errors have their
    codes."""
    index = client.get_model_repository_index()
    assert [(entry.version, entry.state, entry.reason) for entry in index.models] == [
        ("base", "READY", ""),
        ("poor", "UNAVAILABLE", "rejected"),
    ]
    client.load_model("linear")
    client.unload_model("linear", unload_dependents=True)
    assert repository_told[-2:] == [("load", "linear", None), ("unload", "linear", None)]
    with pytest.raises(InferenceServerException, match=r"FAILED_PRECONDITION.*its digest is wrong"):
        client.load_model("spoilt")
    with pytest.raises(InferenceServerException, match=r"INVALID_ARGUMENT.*'config'"):
        client.load_model("linear", config="{}")


def test_one_variant_can_be_loaded(address: str, repository_told: Told) -> None:
    """The parameter `variant` loads one variant, and an index may be limited to ready ones."""
    load = wire.RepositoryModelLoadRequest(model_name="linear")
    load.parameters["variant"].string_param = "light"
    index = wire.RepositoryIndexRequest(ready=True)
    call_raw(address, "RepositoryModelLoad", load.SerializeToString())
    content = call_raw(address, "RepositoryIndex", index.SerializeToString())
    assert repository_told[-1] == ("load", "linear", "light")
    assert [entry.version for entry in wire.RepositoryIndexResponse.FromString(content).models] == ["base"]


def test_a_stream_answers_in_order_and_outlives_an_error(client: Any) -> None:
    """A stream answers in order and continues after an error."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number, width in enumerate((4, 3, 4)):
        client.async_stream_infer("linear", inputs(X[:, :width]), request_id=str(number))
    came = [answers.get(timeout=60) for _ in range(3)]
    client.stop_stream()
    assert [result and result.get_response().id for result, _ in came] == ["0", None, "2"]
    assert "expected [-1, 4]" in str(came[1][1])


def test_tritons_aio_client_infers(address: str) -> None:
    """Twenty calls at once over one connection each get their own answer."""

    async def ask() -> list[float]:
        async with triton_aio.InferenceServerClient(address) as client:
            calls = [client.infer("linear", inputs(X[:1] + number)) for number in range(20)]
            return [float(answer.as_numpy("y")[0, 0]) for answer in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [10.0 + 4 * number for number in range(20)]
