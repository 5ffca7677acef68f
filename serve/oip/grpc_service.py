"""The gRPC service: the protocol's calls over the same models, and the one map from errors to their codes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict
from operator import methodcaller
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from serve.access import Access, Role
from serve.catalog import Repository
from serve.errors import CounterweightError, InvalidRequest, UnknownModel, UnknownVariant
from serve.model import ServedModel, find_model
from serve.observe.observer import Exchange, Observer
from serve.oip import inference_pb2 as wire
from serve.oip.grpc_codec import decode_request, encode_answer, read_map
from serve.oip.metadata import model_config, model_metadata, server_metadata
from serve.oip.parameters import read_variant
from serve.oip.statistics import model_statistics
from serve.oip.wording import shorten
from serve.registry import Registry
from serve.routing import SLICE
from serve.settings import Settings

# On the wire; our own messages live in a package of another name.
SERVICE = "inference.GRPCInferenceService"
_MAX_DETAILS_BYTES = 2000
# Who may make a call; health and the index are for everybody, and an inference is refused where it is noted.
_ROLES: Mapping[str, Role] = {
    "ServerMetadata": "infer",
    "ModelMetadata": "infer",
    "ModelConfig": "infer",
    "ModelStatistics": "infer",
    "RepositoryModelLoad": "operate",
    "RepositoryModelUnload": "operate",
}
_log = logging.getLogger("counterweight.grpc")

_Context = grpc.aio.ServicerContext[bytes, Any]


def grpc_handler(
    registry: Registry, repository: Repository, access: Access, settings: Settings, observer: Observer
) -> grpc.GenericRpcHandler:
    """The service over the registry's models, for `add_generic_rpc_handlers` of a grpc.aio server."""
    service = _Service(registry, repository, access, settings, observer)
    calls: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        name: grpc.unary_unary_rpc_method_handler(
            _guard(request, call, access, _ROLES.get(name)),
            response_serializer=methodcaller("SerializeToString"),
        )
        for name, (request, call) in service.calls.items()
    }
    calls["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        service.stream_infer, response_serializer=methodcaller("SerializeToString")
    )
    return grpc.method_handlers_generic_handler(SERVICE, calls)


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The code and the message with which a call that met `error` ends; our own failures are logged."""
    if not isinstance(error, CounterweightError):
        _log.error("a bug met a call", exc_info=error)
        return grpc.StatusCode.INTERNAL, f"internal error: {type(error).__name__}; the server's log says more"
    # Sheds and timeouts are counted; a line for each would make an overload worse.
    if error.status == 500:
        _log.error("%s", error)
    # It travels as a header, whose size is limited.
    details = str(error).encode()[:_MAX_DETAILS_BYTES].decode(errors="ignore")
    return code_of(error), details


def code_of(error: Exception) -> grpc.StatusCode:
    """The code with which a call that met `error` ends."""
    return grpc.StatusCode[error.grpc if isinstance(error, CounterweightError) else CounterweightError.grpc]


class _Service:
    def __init__(
        self,
        registry: Registry,
        repository: Repository,
        access: Access,
        settings: Settings,
        observer: Observer,
    ) -> None:
        self._registry = registry
        self._access = access
        self._models = registry.models
        self._observer = observer
        self._repository = repository
        self._settings = settings
        self.calls: dict[str, tuple[Any, Callable[[Any, _Context], Awaitable[Any]]]] = {
            "ServerLive": (wire.ServerLiveRequest, self._server_live),
            "ServerReady": (wire.ServerReadyRequest, self._server_ready),
            "ModelReady": (wire.ModelReadyRequest, self._model_ready),
            "ServerMetadata": (wire.ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": (wire.ModelMetadataRequest, self._model_metadata),
            "ModelInfer": (wire.ModelInferRequest, self._infer),
            "ModelConfig": (wire.ModelConfigRequest, self._model_config),
            "ModelStatistics": (wire.ModelStatisticsRequest, self._model_statistics),
            "RepositoryIndex": (wire.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": (wire.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": (wire.RepositoryModelUnloadRequest, self._unload),
        }

    async def stream_infer(
        self, requests: AsyncIterator[bytes], context: _Context
    ) -> AsyncIterator[wire.ModelStreamInferResponse]:
        """One answer for each request, in their order; a request that fails does not end the stream."""
        try:
            _admit(self._access, "infer", context)
        except CounterweightError as error:
            await context.abort(*status_of(error))
        async for content in requests:
            request = wire.ModelInferRequest()
            try:
                request = _parse(wire.ModelInferRequest, content)
                yield wire.ModelStreamInferResponse(infer_response=await self._infer(request, context))
            except Exception as error:
                _, details = status_of(error)
                # The id says which of the requests it was.
                answer = wire.ModelInferResponse(id=request.id)
                yield wire.ModelStreamInferResponse(error_message=details, infer_response=answer)

    async def _infer(self, request: wire.ModelInferRequest, context: _Context) -> wire.ModelInferResponse:
        metadata = _metadata(context)
        exchange = Exchange(
            f"{SERVICE}/ModelInfer",
            request.model_name,
            metadata.get("x-request-id"),
            metadata.get("traceparent"),
        )
        exchange.client = context.peer()
        # Unless there will be another: the client left.
        exchange.status = grpc.StatusCode.CANCELLED.name
        exchange.bytes_in = request.ByteSize()
        try:
            self._access.admit("infer", metadata.get("authorization"))
            answer = await self._answer(request, context, metadata, exchange)
        except Exception as error:
            exchange.status, exchange.error = code_of(error).name, type(error).__name__
            raise
        else:
            exchange.status, exchange.bytes_out = grpc.StatusCode.OK.name, answer.ByteSize()
            return answer
        finally:
            self._observer.note(exchange)

    async def _answer(
        self,
        request: wire.ModelInferRequest,
        context: _Context,
        metadata: Mapping[str, str],
        exchange: Exchange,
    ) -> wire.ModelInferResponse:
        model = self._model(request.model_name)
        exchange.model = model.name
        ticket = model.admit(
            pinned=shorten(request.model_version) or None,
            key=metadata.get(model.routes.sticky),
            timeout_s=context.time_remaining(),
            request_id=exchange.request_id,
            slice_=metadata.get(SLICE),
        )
        exchange.variant = ticket.variant
        asked = decode_request(request, model.forms, self._settings.max_elements)
        answer = await model.answer(asked, ticket)
        exchange.variant, exchange.ran = answer.variant, answer.ran
        return encode_answer(
            model.name,
            answer.variant,
            asked,
            answer.ran.outputs,
            model.signature,
            answer.parameters,
            model.labels,
        )

    async def _server_live(self, request: Any, context: _Context) -> wire.ServerLiveResponse:
        return wire.ServerLiveResponse(live=True)

    async def _server_ready(self, request: Any, context: _Context) -> wire.ServerReadyResponse:
        ready = await asyncio.gather(*(model.ready() for model in self._models.values()))
        return wire.ServerReadyResponse(ready=bool(ready) and all(ready))

    async def _model_ready(
        self, request: wire.ModelReadyRequest, context: _Context
    ) -> wire.ModelReadyResponse:
        try:
            ready = await self._model(request.name).ready(request.version or None)
        except (UnknownModel, UnknownVariant):
            # To Triton's clients what was unloaded is not ready, and no error.
            ready = False
        return wire.ModelReadyResponse(ready=ready)

    async def _server_metadata(self, request: Any, context: _Context) -> wire.ServerMetadataResponse:
        return ParseDict(server_metadata(), wire.ServerMetadataResponse())

    async def _model_metadata(
        self, request: wire.ModelMetadataRequest, context: _Context
    ) -> wire.ModelMetadataResponse:
        model = self._model(request.name)
        metadata = model_metadata(model.name, model.forms, _versions(model, request.version))
        return ParseDict(metadata, wire.ModelMetadataResponse())

    async def _model_config(
        self, request: wire.ModelConfigRequest, context: _Context
    ) -> wire.ModelConfigResponse:
        model = self._model(request.name)
        _versions(model, request.version)
        config = model_config(model.name, model.forms, self._settings.max_batch_rows)
        return ParseDict({"config": config}, wire.ModelConfigResponse())

    async def _model_statistics(
        self, request: wire.ModelStatisticsRequest, context: _Context
    ) -> wire.ModelStatisticsResponse:
        models = [self._model(request.name)] if request.name else list(self._models.values())
        loads = self._registry.counted()
        entries = [
            model_statistics(model.name, variant, loads[model.name, variant].tally)
            for model in models
            for variant in _versions(model, request.version)
        ]
        return ParseDict({"model_stats": entries}, wire.ModelStatisticsResponse())

    async def _index(
        self, request: wire.RepositoryIndexRequest, context: _Context
    ) -> wire.RepositoryIndexResponse:
        _refuse_name(request.repository_name)
        entries = [
            asdict(entry)
            for entry in await self._repository.index()
            if entry.state == "READY" or not request.ready
        ]
        return ParseDict({"models": entries}, wire.RepositoryIndexResponse())

    async def _load(
        self, request: wire.RepositoryModelLoadRequest, context: _Context
    ) -> wire.RepositoryModelLoadResponse:
        _refuse_name(request.repository_name)
        await self._repository.load(request.model_name, read_variant(read_map(request.parameters)))
        return wire.RepositoryModelLoadResponse()

    async def _unload(
        self, request: wire.RepositoryModelUnloadRequest, context: _Context
    ) -> wire.RepositoryModelUnloadResponse:
        _refuse_name(request.repository_name)
        await self._repository.unload(request.model_name, read_variant(read_map(request.parameters)))
        return wire.RepositoryModelUnloadResponse()

    def _model(self, name: str) -> ServedModel:
        # No model has so long a name, and a hint for megabytes would cost seconds.
        return find_model(self._models, shorten(name))


def _guard(
    request: Any, call: Callable[[Any, _Context], Awaitable[Any]], access: Access, role: Role | None
) -> Callable[[bytes, _Context], Awaitable[Any]]:
    async def guarded(content: bytes, context: _Context) -> Any:
        try:
            if role is not None:
                _admit(access, role, context)
            return await call(_parse(request, content), context)
        except Exception as error:
            await context.abort(*status_of(error))

    return guarded


def _admit(access: Access, role: Role, context: _Context) -> None:
    access.admit(role, _metadata(context).get("authorization"))


def _parse(request: Any, content: bytes) -> Any:
    try:
        return request.FromString(content)
    except DecodeError as error:
        raise InvalidRequest(f"{len(content)} bytes came that are no {request.__name__}: {error}") from None


def _metadata(context: _Context) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else value.decode("latin-1")
        for name, value in context.invocation_metadata() or ()
    }


def _versions(model: ServedModel, version: str) -> list[str]:
    """The variant that a call names, or all. Raises UnknownVariant."""
    return [model.require(shorten(version)).name] if version else model.variants


def _refuse_name(repository: str) -> None:
    if repository:
        raise InvalidRequest(
            f"repository {shorten(repository)!r} is not known: there is one, without a name; leave it out"
        )
