"""POST /v1/embeddings in the format of OpenAI, so that an existing client needs only another URL."""

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.base.error_text import kind, name_kind, shorten
from serve.base.errors import CounterweightError, InvalidRequest, ModelFailed, UnknownModel, UnknownVariant
from serve.base.routing import SLICE
from serve.base.tensor import TensorSpec
from serve.engine.admission import Answer, Parameters
from serve.engine.model import Models, ServedModel, find_model
from serve.engine.request import InferRequest, RequestedOutput
from serve.engine.text_input import Encoded, TextInput
from serve.http.access_check import Gate
from serve.http.body_reader import BodyReader
from serve.http.error_headers import headers_of
from serve.http.openai_types import Embeddings, OpenAIError
from serve.observe.observer import Exchange

_log = logging.getLogger("counterweight.embeddings")
_EXPECTED = "a string, a list of strings, a list of tokens, or a list of lists of tokens"


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingsRequest:
    """The decoded request. Exactly one of `texts` and `tokens` is set."""

    model: str
    # From `model:variant`; None: the routes choose.
    variant: str | None
    # UTF-8 as objects of bytes, [rows].
    texts: NDArray[np.generic] | None
    # Token ids of the model's own vocabulary, including special tokens.
    tokens: list[list[int]] | None
    base64: bool
    # The width that the client expects; None: the model's width.
    dimensions: int | None


def decode_embeddings(body: bytes) -> EmbeddingsRequest:
    """Decode the request in `body`. Raises InvalidRequest, which names the value and the expected value."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequest(f"the body is {kind(request)}, expected an object with 'model' and 'input'")
    model = request.get("model")
    if not isinstance(model, str):
        raise InvalidRequest(f"'model' is {kind(model)}, expected the name of a model, or name:variant")
    encoding = request.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise InvalidRequest(f"'encoding_format' is {encoding!r:.40}, expected 'float' or 'base64'")
    dimensions = request.get("dimensions")
    if dimensions is not None and type(dimensions) is not int:
        raise InvalidRequest(f"'dimensions' is {kind(dimensions)}, expected the width of the embeddings")
    name, _, variant = model.partition(":")
    texts, tokens = _read_input(request.get("input"))
    return EmbeddingsRequest(
        model=shorten(name),
        variant=shorten(variant) or None,
        texts=texts,
        tokens=tokens,
        base64=encoding == "base64",
        dimensions=dimensions,
    )


def encode_embeddings(
    request: EmbeddingsRequest,
    vectors: NDArray[np.generic],
    model: str,
    tokens: int,
    parameters: Parameters,
) -> bytes:
    """Encode `vectors` [rows, width] of `model`, with `parameters` in addition to OpenAI's fields.

    Raises ModelFailed on NaN and infinity."""
    if not np.isfinite(vectors).all():
        raise ModelFailed(f"{model} answered NaN or infinity, which is not a valid embedding")
    vectors = np.ascontiguousarray(vectors, "<f4")
    answer: Embeddings = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector).decode() if request.base64 else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    if parameters:
        answer["parameters"] = parameters
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def openai_error(error: CounterweightError) -> OpenAIError:
    """An error in OpenAI's format."""
    return {
        "error": {
            "message": str(error),
            "type": "invalid_request_error" if error.status < 500 else "server_error",
            "param": None,
            "code": "model_not_found" if isinstance(error, UnknownModel | UnknownVariant) else None,
        }
    }


def embeddings_route(models: Models, gate: Gate, reader: BodyReader) -> Route:
    """The route POST /v1/embeddings. Every CounterweightError is answered in OpenAI's format."""

    async def embed(request: Request) -> Response:
        timeout_s = reader.timeout_s(request)
        query = decode_embeddings(await reader.body(request))
        body = await _answer(models, query, request.headers, timeout_s, request.state.exchange)
        return Response(body, media_type="application/json")

    guarded = gate.infer(embed)

    async def answer(request: Request) -> Response:
        try:
            return await guarded(request)
        except CounterweightError as error:
            request.state.exchange.error = type(error).__name__
            return _refuse(error)

    return Route("/v1/embeddings", answer, methods=["POST"])


async def _answer(
    models: Models,
    query: EmbeddingsRequest,
    headers: Mapping[str, str],
    timeout_s: float | None,
    exchange: Exchange,
) -> bytes:
    exchange.model = query.model
    model = find_model(models, query.model)
    text, output = _check_fit(model, query)
    ticket = model.admit(
        pinned=query.variant,
        key=headers.get(model.routes.sticky),
        timeout_s=timeout_s,
        request_id=exchange.request_id,
        slice_=headers.get(SLICE),
    )
    exchange.variant = ticket.variant
    encoded = await _encode(query, text)
    requested = (RequestedOutput(name=output.name),)
    request = InferRequest(id=None, arrays=encoded.arrays, outputs=requested, timeout_s=None)

    def encode(answer: Answer) -> bytes:
        exchange.variant, exchange.ran = answer.variant, answer.ran
        # Like OpenAI, which answers with the version behind an alias: a request with this name gets the
        # same variant again.
        name = f"{model.name}:{answer.variant}"
        parameters = {**encoded.parameters, **answer.parameters}
        return encode_embeddings(query, answer.ran.outputs[output.name], name, encoded.tokens, parameters)

    return await model.answer(request, ticket, encode)


def _check_fit(model: ServedModel, query: EmbeddingsRequest) -> tuple[TextInput, TensorSpec]:
    """The tokenizer of the model, and the output with its embeddings. Raises InvalidRequest."""
    if model.text is None or model.text.embedding is None:
        raise InvalidRequest(
            f"model {model.name!r} has no text embeddings; use /v2/models/{model.name}/infer"
        )
    width = model.text.embedding.shape[1]
    if query.dimensions not in (None, width):
        raise InvalidRequest(
            f"'dimensions' is {query.dimensions}, but the embeddings of {model.name!r} have {width}; leave "
            "it out, or truncate them yourself if the model was trained for that"
        )
    return model.text, model.text.embedding


async def _encode(query: EmbeddingsRequest, text: TextInput) -> Encoded:
    if query.texts is not None:
        return await text.encode_async(query.texts)
    assert query.tokens is not None
    return text.accept_tokens(query.tokens)


def _refuse(error: CounterweightError) -> Response:
    # All other errors are the client's, or too frequent under overload; the metrics count them.
    if error.status == 500:
        _log.error("/v1/embeddings: %s", error)
    content = orjson.dumps(openai_error(error))
    return Response(content, error.status, headers_of(error), "application/json")


def _read_input(content: Any) -> tuple[NDArray[np.generic] | None, list[list[int]] | None]:
    """The texts, or the tokens."""
    items = [content] if isinstance(content, str) else content
    if not isinstance(items, list):
        raise InvalidRequest(f"'input' is {kind(content)}, expected {_EXPECTED}")
    kinds = set(map(type, items))
    if kinds == {str}:
        return np.fromiter((item.encode() for item in items), object, len(items)), None
    if kinds == {int}:
        return None, [items]
    if kinds == {list}:
        kinds = {type(token) for row in items for token in row}
        if kinds <= {int}:
            return None, items
    received = " and ".join(sorted(map(name_kind, kinds))) or "nothing"
    raise InvalidRequest(f"'input' is a list that contains {received}, expected {_EXPECTED}")
