"""The gRPC service of the protocol: every call except inference, which is in grpc_infer.py."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from operator import methodcaller
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from serve.base.access import Access, Role
from serve.base.error_text import shorten
from serve.base.errors import InvalidRequest, UnknownModel, UnknownVariant, VariantUnavailable
from serve.base.settings import Settings
from serve.engine.catalog import Repository
from serve.engine.model import ServedModel, find_model
from serve.engine.registry import Registry
from serve.observe.observer import Observer
from serve.oip import inference_pb2 as wire
from serve.oip.grpc_calls import SERVICE, Call, Context, guard
from serve.oip.grpc_codec import read_map
from serve.oip.grpc_infer import GrpcInfer
from serve.oip.metadata import describe_model, model_config, server_metadata
from serve.oip.request_parameters import read_variant
from serve.oip.statistics import model_statistics

# The role for each call. Health and the index are open; inference checks its role itself, to log refusals.
_ROLES: Mapping[str, Role] = {
    "ServerMetadata": "infer",
    "ModelMetadata": "infer",
    "ModelConfig": "infer",
    "ModelStatistics": "infer",
    "RepositoryModelLoad": "operate",
    "RepositoryModelUnload": "operate",
}


def grpc_handler(
    registry: Registry, repository: Repository, access: Access, settings: Settings, observer: Observer
) -> grpc.GenericRpcHandler:
    """The service for the registry's models, for `add_generic_rpc_handlers` of a grpc.aio server."""
    infer = GrpcInfer(registry.models, access, settings, observer)
    unary = {
        "ModelInfer": (wire.ModelInferRequest, infer.infer),
        **_Service(registry, repository, settings).calls,
    }
    calls: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        name: grpc.unary_unary_rpc_method_handler(
            guard(request, call, access, _ROLES.get(name)),
            response_serializer=methodcaller("SerializeToString"),
        )
        for name, (request, call) in unary.items()
    }
    calls["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        infer.stream, response_serializer=methodcaller("SerializeToString")
    )
    return grpc.method_handlers_generic_handler(SERVICE, calls)


class _Service:
    def __init__(self, registry: Registry, repository: Repository, settings: Settings) -> None:
        self._registry = registry
        self._models = registry.models
        self._repository = repository
        self._settings = settings
        self.calls: dict[str, tuple[Any, Call]] = {
            "ServerLive": (wire.ServerLiveRequest, self._server_live),
            "ServerReady": (wire.ServerReadyRequest, self._server_ready),
            "ModelReady": (wire.ModelReadyRequest, self._model_ready),
            "ServerMetadata": (wire.ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": (wire.ModelMetadataRequest, self._model_metadata),
            "ModelConfig": (wire.ModelConfigRequest, self._model_config),
            "ModelStatistics": (wire.ModelStatisticsRequest, self._model_statistics),
            "RepositoryIndex": (wire.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": (wire.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": (wire.RepositoryModelUnloadRequest, self._unload),
        }

    async def _server_live(self, request: Any, context: Context) -> wire.ServerLiveResponse:
        return wire.ServerLiveResponse(live=True)

    async def _server_ready(self, request: Any, context: Context) -> wire.ServerReadyResponse:
        ready = await asyncio.gather(*(model.ready() for model in self._models.values()))
        return wire.ServerReadyResponse(ready=bool(ready) and all(ready))

    async def _model_ready(
        self, request: wire.ModelReadyRequest, context: Context
    ) -> wire.ModelReadyResponse:
        try:
            ready = await self._model(request.name).ready(request.version or None)
        except (UnknownModel, UnknownVariant, VariantUnavailable):
            # Triton's clients expect "not ready" and no error for a variant that is unloaded or failed to
            # load.
            ready = False
        return wire.ModelReadyResponse(ready=ready)

    async def _server_metadata(self, request: Any, context: Context) -> wire.ServerMetadataResponse:
        return ParseDict(dict(server_metadata()), wire.ServerMetadataResponse())

    async def _model_metadata(
        self, request: wire.ModelMetadataRequest, context: Context
    ) -> wire.ModelMetadataResponse:
        model = self._model(request.name)
        variants, whole = _versions(model, request.version), not request.version
        metadata = describe_model(model, variants, self._settings.max_body_bytes, whole=whole)
        metadata["parameters"] = {
            name: {"int64_param": value} for name, value in metadata["parameters"].items()
        }
        return ParseDict(metadata, wire.ModelMetadataResponse())

    async def _model_config(
        self, request: wire.ModelConfigRequest, context: Context
    ) -> wire.ModelConfigResponse:
        model = self._model(request.name)
        _versions(model, request.version)
        config = model_config(model.name, model.forms, self._settings.max_batch_rows)
        return ParseDict({"config": config}, wire.ModelConfigResponse())

    async def _model_statistics(
        self, request: wire.ModelStatisticsRequest, context: Context
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
        self, request: wire.RepositoryIndexRequest, context: Context
    ) -> wire.RepositoryIndexResponse:
        _refuse_name(request.repository_name)
        entries = [
            asdict(entry)
            for entry in await self._repository.index()
            if entry.state == "READY" or not request.ready
        ]
        return ParseDict({"models": entries}, wire.RepositoryIndexResponse())

    async def _load(
        self, request: wire.RepositoryModelLoadRequest, context: Context
    ) -> wire.RepositoryModelLoadResponse:
        _refuse_name(request.repository_name)
        await self._repository.load(request.model_name, read_variant(read_map(request.parameters)))
        return wire.RepositoryModelLoadResponse()

    async def _unload(
        self, request: wire.RepositoryModelUnloadRequest, context: Context
    ) -> wire.RepositoryModelUnloadResponse:
        _refuse_name(request.repository_name)
        await self._repository.unload(request.model_name, read_variant(read_map(request.parameters)))
        return wire.RepositoryModelUnloadResponse()

    def _model(self, name: str) -> ServedModel:
        # No model has such a long name, and searching a hint for megabytes would take seconds.
        return find_model(self._models, shorten(name))


def _versions(model: ServedModel, version: str) -> list[str]:
    """The variant that a call names, or all variants. Raises UnknownVariant or VariantUnavailable."""
    return [model.require(shorten(version)).name] if version else model.variants


def _refuse_name(repository: str) -> None:
    if repository:
        raise InvalidRequest(
            f"repository {shorten(repository)!r} is unknown: the only repository has no name; leave the "
            "name out"
        )
