"""Access checks for endpoints: the role of the token, the origin of the page, and the rate of changes."""

import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from serve.base.access import Access, Role, is_loopback
from serve.base.error_text import shorten
from serve.base.errors import RefusedAccess
from serve.http.token_bucket import TokenBucket

Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """Wraps endpoints in access checks."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def infer(self, endpoint: Endpoint) -> Endpoint:
        """Check for the role `infer`; returns the endpoint itself if no token is needed."""
        access = self._access
        if not access.requires_token("infer"):
            return endpoint

        async def guarded(request: Request) -> Response:
            access.admit("infer", request.headers.get("authorization"))
            return await endpoint(request)

        return guarded

    def view(self, endpoint: Endpoint) -> Endpoint:
        """Check for the role `view`."""
        return self._control("view", endpoint, None)

    def operate(self, endpoint: Endpoint, bucket: TokenBucket | None = None) -> Endpoint:
        """Check for the role `operate`, and set the name in `request.state.by`. None: no rate limit."""
        return self._control("operate", endpoint, bucket)

    def _control(self, role: Role, endpoint: Endpoint, bucket: TokenBucket | None) -> Endpoint:
        access = self._access

        async def guarded(request: Request) -> Response:
            request.state.by = access.admit(role, request.headers.get("authorization"))
            _refuse_foreign(request, local=access.grants is None)
            if bucket is not None:
                bucket.take(time.monotonic())
            return await endpoint(request)

        return guarded


def _refuse_foreign(request: Request, *, local: bool) -> None:
    """Refuse requests that a page of another site makes a browser send, because the browser may reach servers
    that the site cannot.

    `local`: no token is needed, so a DNS name that resolves to this machine is refused as well."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        raise RefusedAccess(f"sec-fetch-site is {shorten(site)!r}: pages of other sites have no access")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        raise RefusedAccess(
            f"the origin is {shorten(origin)!r} and the host {shorten(host)!r}: pages of other sites have no "
            "access; a proxy must forward the host header"
        )
    # Clients without a host header, such as HTTP/1.0 clients, are not browsers.
    if local and host and not _names_loopback(host):
        raise RefusedAccess(
            f"the host is {shorten(host)!r}, expected localhost or a loopback address while no token is "
            "needed; start the server with --tokens FILE"
        )


def _names_loopback(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
