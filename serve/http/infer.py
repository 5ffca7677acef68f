"""Inference over HTTP, from the body of a request to the body of the answer. This is the hot path."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from serve.base.routing import SLICE
from serve.base.settings import Settings
from serve.engine.admission import Answer
from serve.engine.model import Models, find_model
from serve.http.body_reader import BodyReader
from serve.observe.observer import Exchange
from serve.oip.compression import compress
from serve.oip.http_codec import JSON_BYTES_HEADER, decode_request, encode_answer, read_json_bytes
from serve.oip.row_sizes import advise


class InferEndpoint:
    """The endpoint `POST /v2/models/{model}[/versions/{variant}]/infer`."""

    def __init__(self, models: Models, reader: BodyReader, settings: Settings) -> None:
        self._models = models
        self._reader = reader
        self._max_elements = settings.max_elements
        self._max_body_bytes = settings.max_body_bytes

    async def infer(self, request: Request) -> Response:
        """Answer one request. Raises CounterweightError."""
        name, pinned = request.path_params["model"], request.path_params.get("variant")
        exchange: Exchange = request.state.exchange
        exchange.model = name
        # Admission first, so that a refused request's body is not read.
        model = find_model(self._models, name)
        ticket = model.admit(
            pinned=pinned,
            key=request.headers.get(model.routes.sticky),
            timeout_s=self._reader.timeout_s(request),
            request_id=exchange.request_id,
            slice_=request.headers.get(SLICE),
        )
        exchange.variant = ticket.variant
        json_bytes = read_json_bytes(request.headers.get(JSON_BYTES_HEADER))
        body = await self._reader.body(
            request, partial(advise, model.forms, self._max_body_bytes, binary=json_bytes is not None)
        )
        # Look it up again: another version may have been loaded while the body was read.
        model = find_model(self._models, name)
        request_body = decode_request(body, json_bytes, model.forms, self._max_elements)
        accept = request.headers.get("accept-encoding")

        def encode(answer: Answer) -> Response:
            exchange.variant, exchange.ran = answer.variant, answer.ran
            outputs, parameters = answer.ran.outputs, answer.parameters
            content, json_bytes = encode_answer(
                name, answer.variant, request_body, outputs, model.signature, parameters, model.labels
            )
            return _respond(content, json_bytes, accept)

        return await model.answer(request_body, ticket, encode)


def _respond(content: bytes, json_bytes: int | None, accept: str | None) -> Response:
    media_type = "application/json"
    headers = {}
    if json_bytes is not None:
        media_type = "application/octet-stream"
        headers[JSON_BYTES_HEADER] = str(json_bytes)
    if accept:
        content, encoding = compress(content, accept)
        if encoding is not None:
            headers["content-encoding"] = encoding
    return Response(content, headers=headers, media_type=media_type)
