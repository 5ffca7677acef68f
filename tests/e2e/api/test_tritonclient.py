"""Triton's own clients against the real server."""

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.e2e.server import Server
from tests.e2e.triton_clients import KINDS, Stock, stock_client

ROWS = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], np.float32)
SUMS = [[10, 10, 10], [1, 1, 1]]


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Stock]:
    with stock_client(request.param, server) as client:
        yield client


def base(client: Stock, **options: Any) -> Any:
    """Two rows, answered by the baseline."""
    return client.infer("linear", client.input("x", ROWS), model_version="base", **options)


def test_asks_whether_it_is_up(client: Stock) -> None:
    """The client reads whether the server, a model and a variant are live and ready."""
    assert client.call("is_server_live")
    assert client.call("is_server_ready")
    assert client.call("is_model_ready", "linear")
    assert client.call("is_model_ready", "linear", "light")
    assert not client.call("is_model_ready", "other")


def test_reads_what_is_served(client: Stock) -> None:
    """The client reads the metadata of the server and the metadata and configuration of a model."""
    server = client.ask("get_server_metadata")
    assert server["name"] == "counterweight"
    assert "binary_tensor_data" in server["extensions"]
    model = client.ask("get_model_metadata", "linear")
    assert model["versions"] == ["base", "light"]
    assert [tensor["name"] for tensor in model["inputs"]] == ["x"]
    config = client.ask("get_model_config", "linear")
    # gRPC wraps the configuration in a message.
    assert config.get("config", config)["max_batch_size"] == 64


def test_infers(client: Stock) -> None:
    """The client gets the arrays of the requested variant and its own request id."""
    result = base(client, request_id="mine")
    np.testing.assert_array_equal(result.as_numpy("y"), SUMS)
    answer = result.get_response() if client.http else result.get_response(as_json=True)
    assert answer["model_version"] == "base"
    assert answer["id"] == "mine"


def test_follows_the_routes(client: Stock) -> None:
    """Without a version, one of the routed variants answers."""
    result = client.infer("linear", client.input("x", ROWS))
    assert float(result.as_numpy("y")[0, 0]) in (10, 20)


@pytest.mark.parametrize("way_in", [True, False], ids=["bytes in", "JSON in"])
@pytest.mark.parametrize("way_out", [True, False], ids=["bytes out", "JSON out"])
def test_mixes_json_and_bytes(server: Server, way_in: bool, way_out: bool) -> None:
    """Over HTTP a tensor may be JSON or binary, independently in each direction."""
    with stock_client("http", server) as client:
        result = client.infer(
            "linear",
            client.input("x", ROWS, binary=way_in),
            outputs=[client.wanted("y", binary=way_out)],
            model_version="base",
        )
        np.testing.assert_array_equal(result.as_numpy("y"), SUMS)
        [output] = result.get_response()["outputs"]
        assert ("data" in output) == (not way_out)


def test_classifies(client: Stock) -> None:
    """The classification extension gives the highest values with their indices as strings."""
    result = client.infer("lookup", client.input("x", np.array([1])), outputs=[client.wanted("y", classes=2)])
    assert result.as_numpy("y").tolist() == [[b"5.000000:2", b"4.000000:1"]]


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "JSON"])
def test_sends_text(client: Stock, binary: bool) -> None:
    """A model with a tokenizer accepts strings; two and four tokens include the special ones."""
    texts = np.array([b"", b"hello there"], object)
    result = client.infer("words", client.input("text", texts, binary=binary))
    np.testing.assert_array_equal(result.as_numpy("vector")[:, 1], [2, 4])


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_compresses(client: Stock, packing: str) -> None:
    """Requests and answers can be compressed."""
    rows = np.repeat(ROWS, 500, axis=0)
    options = (
        {"request_compression_algorithm": packing, "response_compression_algorithm": packing}
        if client.http
        else {"compression_algorithm": packing}
    )
    result = client.infer("linear", client.input("x", rows), model_version="base", **options)
    np.testing.assert_array_equal(result.as_numpy("y"), np.repeat(SUMS, 500, axis=0))


def test_counts(client: Stock) -> None:
    """The statistics grow by the number of requests."""

    def count() -> int:
        [stats] = client.ask("get_inference_statistics", "linear", "base")["model_stats"]
        # The JSON form of gRPC holds 64-bit numbers as strings.
        return int(stats["inference_stats"]["success"].get("count", 0))

    before = count()
    for _ in range(3):
        base(client)
    assert count() == before + 3


def test_hears_what_is_wrong(client: Stock) -> None:
    """The client's error has the server's message."""
    with pytest.raises(InferenceServerException, match="no variant 'bas'; did you mean 'base'"):
        client.infer("linear", client.input("x", ROWS), model_version="bas")


def test_gives_up_in_time(client: Stock) -> None:
    """A timeout of one microsecond ends a request with an error."""
    with pytest.raises(InferenceServerException, match="deadline passed"):
        base(client, timeout=1)


def states(client: Stock) -> dict[str, str]:
    """Return the states by `model/variant` from the repository index."""
    index = client.ask("get_model_repository_index")
    entries = index if client.http else index["models"]
    return {f"{entry['name']}/{entry['version']}": entry["state"] for entry in entries}


def test_lists_the_repository_and_loads(client: Stock) -> None:
    """The index has the state of each variant, and loading a loaded model changes nothing."""
    before = states(client)
    assert before | {"lookup/base": "READY", "linear/poor": "UNAVAILABLE"} == before
    client.call("load_model", "lookup")
    assert states(client) == before


@pytest.mark.parametrize("kind", ["http", "grpc-aio"])
def test_unloads_and_loads(server: Server, kind: str) -> None:
    """An unloaded model is unavailable, and answers after it is loaded again."""
    with stock_client(kind, server) as client:
        client.call("unload_model", "lookup")
        assert not client.call("is_model_ready", "lookup")
        assert states(client)["lookup/base"] == "UNAVAILABLE"
        client.call("load_model", "lookup")
        assert client.call("is_model_ready", "lookup")
        result = client.infer("lookup", client.input("x", np.array([1])))
        assert result.as_numpy("y").tolist() == [[3, 4, 5]]


def test_asks_many_at_once(server: Server) -> None:
    """Eight requests at once by the client's own means each get their own answer."""
    with stock_client("http", server) as client:
        under_way = [
            client.call("async_infer", "linear", [client.input("x", ROWS * number)], model_version="base")
            for number in range(8)
        ]
        sums = [float(request.get_result().as_numpy("y")[0, 0]) for request in under_way]
    assert sums == [10 * number for number in range(8)]


def test_streams(server: Server) -> None:
    """Requests down one gRPC stream are answered in their order."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with stock_client("grpc", server) as client:
        client.call("start_stream", callback=lambda result, error: answers.put((result, error)))
        for number in range(8):
            inputs = [client.input("x", ROWS * number)]
            client.call("async_stream_infer", "linear", inputs, model_version="base")
        received = [answers.get(timeout=60) for _ in range(8)]
        client.call("stop_stream")
    assert [error for _, error in received if error] == []
    assert [float(result.as_numpy("y")[0, 0]) for result, _ in received] == [10 * n for n in range(8)]
