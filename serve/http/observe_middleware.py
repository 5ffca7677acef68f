"""ASGI middleware that gives every request an id and a trace context, and logs it at its end."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.observe.observer import Exchange, Observer

# The status that proxies log when the client disconnected before there was one.
_CLIENT_GONE = 499
_NO_ROUTE = "unknown path"


class ObserveMiddleware:
    """An application whose requests are logged and traced."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        headers = dict(scope["headers"])
        exchange = Exchange(
            scope["method"], scope["path"], _text(headers, b"x-request-id"), _text(headers, b"traceparent")
        )
        exchange.client = scope["client"][0] if scope["client"] else None
        exchange.status = _CLIENT_GONE
        scope["state"]["exchange"] = exchange

        async def send_observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", exchange.request_id.encode()),
                    (b"traceparent", exchange.traceparent.encode()),
                ]
            else:
                exchange.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        finally:
            # Starlette stores the matched route here.
            exchange.route = getattr(scope.get("route"), "path", _NO_ROUTE)
            self._observer.note(exchange)


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
