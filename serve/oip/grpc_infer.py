"""Inference over gRPC: one request, or a stream of them. This is the hot path."""

from collections.abc import AsyncIterator, Mapping

import grpc

from serve.base.access import Access
from serve.base.error_text import shorten
from serve.base.errors import CounterweightError
from serve.base.routing import SLICE
from serve.base.settings import Settings
from serve.engine.admission import Answer
from serve.engine.model import Models, find_model
from serve.observe.observer import Exchange, Observer
from serve.oip import inference_pb2 as wire
from serve.oip.grpc_calls import SERVICE, Context, admit, code_of, metadata_of, parse, status_of
from serve.oip.grpc_codec import decode_request, encode_answer


class GrpcInfer:
    """`ModelInfer` and `ModelStreamInfer`."""

    def __init__(self, models: Models, access: Access, settings: Settings, observer: Observer) -> None:
        self._models = models
        self._access = access
        self._max_elements = settings.max_elements
        self._observer = observer

    async def stream(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[wire.ModelStreamInferResponse]:
        """One answer per request, in order. A failed request does not end the stream."""
        try:
            admit(self._access, "infer", context)
        except CounterweightError as error:
            await context.abort(*status_of(error))
        async for content in requests:
            request = wire.ModelInferRequest()
            try:
                request = parse(wire.ModelInferRequest, content)
                yield wire.ModelStreamInferResponse(infer_response=await self.infer(request, context))
            except Exception as error:
                _, details = status_of(error)
                # The id shows which request failed.
                answer = wire.ModelInferResponse(id=request.id)
                yield wire.ModelStreamInferResponse(error_message=details, infer_response=answer)

    async def infer(self, request: wire.ModelInferRequest, context: Context) -> wire.ModelInferResponse:
        """Answer one request and log it. Raises CounterweightError."""
        metadata = metadata_of(context)
        exchange = Exchange(
            f"{SERVICE}/ModelInfer",
            request.model_name,
            metadata.get("x-request-id"),
            metadata.get("traceparent"),
        )
        exchange.client = context.peer()
        # The status if nothing replaces it: the client disconnected.
        exchange.status = grpc.StatusCode.CANCELLED.name
        exchange.bytes_in = request.ByteSize()
        try:
            self._access.admit("infer", metadata.get("authorization"))
            answer = await self._answer(request, context, metadata, exchange)
        except Exception as error:
            exchange.status, exchange.error = code_of(error).name, type(error).__name__
            raise
        else:
            exchange.status = grpc.StatusCode.OK.name
            return answer
        finally:
            self._observer.note(exchange)

    async def _answer(
        self,
        request: wire.ModelInferRequest,
        context: Context,
        metadata: Mapping[str, str],
        exchange: Exchange,
    ) -> wire.ModelInferResponse:
        model = find_model(self._models, shorten(request.model_name))
        exchange.model = model.name
        ticket = model.admit(
            pinned=shorten(request.model_version) or None,
            key=metadata.get(model.routes.sticky),
            timeout_s=context.time_remaining(),
            request_id=exchange.request_id,
            slice_=metadata.get(SLICE),
        )
        exchange.variant = ticket.variant
        decoded = decode_request(request, model.forms, self._max_elements)

        def encode(answer: Answer) -> wire.ModelInferResponse:
            exchange.variant, exchange.ran = answer.variant, answer.ran
            outputs, parameters = answer.ran.outputs, answer.parameters
            message = encode_answer(
                model.name, answer.variant, decoded, outputs, model.signature, parameters, model.labels
            )
            exchange.bytes_out = message.ByteSize()
            return message

        return await model.answer(decoded, ticket, encode)
