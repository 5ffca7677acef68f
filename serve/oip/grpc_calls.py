"""Shared by all calls of the gRPC service: decoding, access checks, and the only map from errors to gRPC
codes."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serve.base.access import Access, Role
from serve.base.errors import CounterweightError, InvalidRequest

# The name in the protocol; the generated messages use another package name.
SERVICE = "inference.GRPCInferenceService"
_MAX_DETAILS_BYTES = 2000
_log = logging.getLogger("counterweight.grpc")

Context = grpc.aio.ServicerContext[bytes, Any]
Call = Callable[[Any, Context], Awaitable[Any]]


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The code and message for a call that raised `error`. Internal errors are logged."""
    if not isinstance(error, CounterweightError):
        _log.error("a call failed with an internal error", exc_info=error)
        return grpc.StatusCode.INTERNAL, f"internal error: {type(error).__name__}; see the server's log"
    # Refusals and timeouts are counted; logging each one would make an overload worse.
    if error.status == 500:
        _log.error("%s", error)
    # The message is sent as a header, whose size is limited.
    details = str(error).encode()[:_MAX_DETAILS_BYTES].decode(errors="ignore")
    return code_of(error), details


def code_of(error: Exception) -> grpc.StatusCode:
    """The code for a call that raised `error`."""
    return grpc.StatusCode[error.grpc if isinstance(error, CounterweightError) else CounterweightError.grpc]


def guard(request: Any, call: Call, access: Access, role: Role | None) -> Call:
    """Wrap `call`: decode the `request`, check the role (None: no check), and abort the call if it raises."""

    async def guarded(content: bytes, context: Context) -> Any:
        try:
            if role is not None:
                admit(access, role, context)
            return await call(parse(request, content), context)
        except Exception as error:
            await context.abort(*status_of(error))

    return guarded


def admit(access: Access, role: Role, context: Context) -> None:
    """Raise UnknownToken or RefusedAccess unless the caller has the role."""
    access.admit(role, metadata_of(context).get("authorization"))


def parse(request: Any, content: bytes) -> Any:
    """Decode a request. Raises InvalidRequest."""
    try:
        return request.FromString(content)
    except DecodeError as error:
        raise InvalidRequest(
            f"the {len(content)} bytes are not a valid {request.__name__}: {error}"
        ) from None


def metadata_of(context: Context) -> dict[str, str]:
    """The metadata of the request as strings."""
    return {
        name: value if isinstance(value, str) else value.decode("latin-1")
        for name, value in context.invocation_metadata() or ()
    }
