"""Calls: what all calls of the gRPC service share: how they are read, who may make them, and the one map
from errors to codes."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serve.base.access import Access, Role
from serve.base.errors import CounterweightError, InvalidRequest

# On the wire; our own messages live in a package of another name.
SERVICE = "inference.GRPCInferenceService"
_MAX_DETAILS_BYTES = 2000
_log = logging.getLogger("counterweight.grpc")

Context = grpc.aio.ServicerContext[bytes, Any]
Call = Callable[[Any, Context], Awaitable[Any]]


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


def guard(request: Any, call: Call, access: Access, role: Role | None) -> Call:
    """`call` of a `request`, from bytes, for whoever has the role (None: for everybody); what it raises
    becomes the call's end."""

    async def guarded(content: bytes, context: Context) -> Any:
        try:
            if role is not None:
                admit(access, role, context)
            return await call(parse(request, content), context)
        except Exception as error:
            await context.abort(*status_of(error))

    return guarded


def admit(access: Access, role: Role, context: Context) -> None:
    """Raise UnknownToken or RefusedAccess when the caller may not do what the role may."""
    access.admit(role, metadata_of(context).get("authorization"))


def parse(request: Any, content: bytes) -> Any:
    """The request in `content`. Raises InvalidRequest."""
    try:
        return request.FromString(content)
    except DecodeError as error:
        raise InvalidRequest(f"{len(content)} bytes came that are no {request.__name__}: {error}") from None


def metadata_of(context: Context) -> dict[str, str]:
    """What came beside the request."""
    return {
        name: value if isinstance(value, str) else value.decode("latin-1")
        for name, value in context.invocation_metadata() or ()
    }
