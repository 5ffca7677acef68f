import asyncio
import base64
from collections.abc import Iterator

import httpx2
import numpy as np
import openai
import orjson
import pytest

from serve.base.errors import InvalidRequest, ModelFailed
from serve.http.embeddings import EmbeddingsRequest, decode_embeddings, encode_embeddings
from tests.conftest import make_bundle
from tests.serve.endpoint import Endpoint
from tests.serve.texts import as_bytes, make_text_bundle

# [CLS] hello there [SEP]: 101 + 7592 + 2045 + 102.
HELLO = [9840.0, 4.0]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with `words`, which answers embeddings, and with `sorter` and `linear`, which do not."""
    repository = tmp_path_factory.mktemp("texts") / "models"
    make_text_bundle(repository, "base")
    make_text_bundle(repository, "light", scale=2.0)
    make_text_bundle(repository, "base", model="sorter", task="classification")
    make_bundle(repository, "base")
    with Endpoint(repository=repository) as endpoint:
        yield f"{endpoint.url}/v1"


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client with another base URL."""
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


def test_openais_client_gets_its_vectors(client: openai.OpenAI) -> None:
    """OpenAI's client gets the vectors as base64, its default encoding."""
    answer = client.embeddings.create(model="words", input=["hello there", ""])
    assert [item.embedding for item in answer.data] == [HELLO, [203.0, 2.0]]
    assert [item.index for item in answer.data] == [0, 1]


def test_floats_are_the_same_vectors(client: openai.OpenAI) -> None:
    """With `encoding_format: float` the vectors are the same, as JSON numbers."""
    answer = client.embeddings.create(model="words", input="hello there", encoding_format="float")
    assert answer.data[0].embedding == HELLO


@pytest.mark.parametrize(
    "tokens", [[101, 7592, 2045, 102], [[101, 7592, 2045, 102]]], ids=["one text", "a list of texts"]
)
def test_takes_tokens(client: openai.OpenAI, tokens: list[int]) -> None:
    """The input may be tokens of the model's vocabulary in place of text."""
    assert client.embeddings.create(model="words", input=tokens).data[0].embedding == HELLO


def test_counts_the_tokens(client: openai.OpenAI) -> None:
    """`usage` counts the tokens of all texts without padding."""
    usage = client.embeddings.create(model="words", input=["hello there", ""]).usage
    assert (usage.prompt_tokens, usage.total_tokens) == (6, 6)


def test_says_which_variant_answered(client: openai.OpenAI) -> None:
    """The answer's `model` names the model and the variant."""
    answer = client.embeddings.create(model="words", input="hello there")
    assert answer.model == "words:base"


def test_a_variant_can_be_pinned(client: openai.OpenAI) -> None:
    """`model:variant` pins the variant."""
    answer = client.embeddings.create(model="words:light", input="hello there")
    assert (answer.model, answer.data[0].embedding) == ("words:light", [2 * HELLO[0], 4.0])


def test_says_that_a_text_was_cut(client: openai.OpenAI) -> None:
    """The answer's parameters give the number of truncated texts."""
    answer = client.embeddings.create(model="words", input=["long " * 200, "short"])
    assert answer.model_dump()["parameters"] == {"truncated_rows": 1}


def test_the_asynchronous_client_works_as_well(url: str) -> None:
    """Twenty requests at once by the asynchronous client each get their own vector."""

    async def ask() -> list[float]:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
            asked = [client.embeddings.create(model="words", input="word " * count) for count in range(20)]
            return [answer.data[0].embedding[1] for answer in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [count + 2 for count in range(20)]


@pytest.mark.parametrize(
    ("model", "code", "message"),
    [
        ("word", "model_not_found", "no model 'word' is served here; did you mean 'words'"),
        ("words:lite", "model_not_found", "serves no variant 'lite'; did you mean 'light'"),
    ],
)
def test_an_unknown_model_is_openais_not_found(
    client: openai.OpenAI, model: str, code: str, message: str
) -> None:
    """An unknown model raises OpenAI's NotFoundError with our message."""
    with pytest.raises(openai.NotFoundError, match=message) as caught:
        client.embeddings.create(model=model, input="hello")
    assert (caught.value.code, caught.value.type) == (code, "invalid_request_error")


@pytest.mark.parametrize("model", ["sorter", "linear"])
def test_only_an_embedding_model_answers(client: openai.OpenAI, model: str) -> None:
    """A model without text embeddings gives 400."""
    with pytest.raises(openai.BadRequestError, match=f"'{model}' has no text embeddings"):
        client.embeddings.create(model=model, input="hello")


def test_dimensions_must_be_the_models_own(client: openai.OpenAI) -> None:
    """`dimensions` must equal the model's own number."""
    assert (
        client.embeddings.create(model="words", input="hello there", dimensions=2).data[0].embedding == HELLO
    )
    with pytest.raises(openai.BadRequestError, match=r"'dimensions' is 1,.*the embeddings of 'words' have 2"):
        client.embeddings.create(model="words", input="hello", dimensions=1)


def test_time_that_is_up_is_openais_error_too(url: str) -> None:
    """A 504 has an error body in OpenAI's format."""
    answer = httpx2.post(
        f"{url}/embeddings",
        json={"model": "words", "input": "hello"},
        headers={"x-request-timeout-seconds": "1e-9"},
    )
    assert answer.status_code == 504
    assert answer.json()["error"]["type"] == "server_error"


def test_what_comes_by_the_thousand_under_overload_is_not_logged(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that exceeds its deadline is not logged."""
    headers = {"x-request-timeout-seconds": "1e-9"}
    httpx2.post(f"{url}/embeddings", json={"model": "words", "input": "hello"}, headers=headers)
    assert [record for record in caplog.records if record.name.startswith("counterweight")] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "'model' is null or missing"),
        ({"input": None}, "'input' is null or missing, expected a string, a list"),
        ({"input": []}, "'input' is a list"),
        ({"input": ["a", 1]}, "'input' .* a string and a whole number"),
        ({"input": [[1, "a"]]}, "'input' .* a string and a whole number"),
        ({"input": [True]}, "'input' .* a boolean"),
        ({"input": [[1], 2]}, "'input' .* a list and a whole number"),
        ({"encoding_format": "hex"}, "'encoding_format' is 'hex', expected 'float' or 'base64'"),
        ({"dimensions": "2"}, "'dimensions' is a string"),
    ],
)
def test_refuses_what_is_no_such_request(change: dict[str, object], message: str) -> None:
    """The error names the invalid field and its value."""
    with pytest.raises(InvalidRequest, match=message):
        decode_embeddings(orjson.dumps({"model": "words", "input": "a"} | change))


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"{", "is not JSON"), (b"[]", "a list, expected an object"), (b'{"input": "\\ud800"}', "is not JSON")],
    ids=["cut off", "a list", "half a surrogate"],
)
def test_refuses_a_body_that_is_none(body: bytes, message: str) -> None:
    """A body that is not valid JSON is refused."""
    with pytest.raises(InvalidRequest, match=message):
        decode_embeddings(body)


REQUEST = EmbeddingsRequest(
    model="words", variant=None, texts=as_bytes("a"), tokens=None, base64=True, dimensions=None
)


def test_base64_is_of_32_bit_floats() -> None:
    """base64 vectors are little-endian float32, even if the model answers float16."""
    body = encode_embeddings(REQUEST, np.array([[1.5, -2]], np.float16), "words:base", 3, {})
    content = base64.b64decode(orjson.loads(body)["data"][0]["embedding"])
    assert np.frombuffer(content, "<f4").tolist() == [1.5, -2.0]


def test_never_answers_what_is_no_number() -> None:
    """An embedding with NaN raises ModelFailed."""
    with pytest.raises(ModelFailed, match="words:base answered NaN"):
        encode_embeddings(REQUEST, np.array([[1, np.nan]], np.float32), "words:base", 3, {})
