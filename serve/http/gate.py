"""Gate: what is let through to an endpoint: whoever has the role, no page of another site, not too many."""

import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from serve.base.access import Access, Role, is_loopback
from serve.base.errors import RefusedAccess
from serve.base.wording import shorten
from serve.http.bucket import Bucket

Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """Makes endpoints that refuse what must not reach them."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def infer(self, endpoint: Endpoint) -> Endpoint:
        """For whoever may ask models; where everybody may, the endpoint itself, at no cost."""
        access = self._access
        if not access.asks("infer"):
            return endpoint

        async def guarded(request: Request) -> Response:
            access.admit("infer", request.headers.get("authorization"))
            return await endpoint(request)

        return guarded

    def view(self, endpoint: Endpoint) -> Endpoint:
        """For whoever may look."""
        return self._control("view", endpoint, None)

    def operate(self, endpoint: Endpoint, bucket: Bucket | None = None) -> Endpoint:
        """For whoever may change things; his name is `request.state.by`. None: as often as he likes."""
        return self._control("operate", endpoint, bucket)

    def _control(self, role: Role, endpoint: Endpoint, bucket: Bucket | None) -> Endpoint:
        access = self._access

        async def guarded(request: Request) -> Response:
            request.state.by = access.admit(role, request.headers.get("authorization"))
            _refuse_foreign(request, local=access.grants is None)
            if bucket is not None:
                bucket.take(time.monotonic())
            return await endpoint(request)

        return guarded


def _refuse_foreign(request: Request, *, local: bool) -> None:
    """Refuse what the page of another site makes a browser send: it may reach what its owner cannot.

    `local`: nobody needs a token, so a name that leads here only for a trick is refused, too."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        raise RefusedAccess(f"sec-fetch-site is {shorten(site)!r}: a page of another site may not ask this")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        raise RefusedAccess(
            f"the origin is {shorten(origin)!r} and the host {shorten(host)!r}: a page of another site may "
            "not ask this; a proxy must pass the header host on"
        )
    # Who sends none, as HTTP/1.0 may, is no browser.
    if local and host and not _names_loopback(host):
        raise RefusedAccess(
            f"the host is {shorten(host)!r}, expected localhost or a loopback address, as long as nobody "
            "needs a token; start the server with --tokens FILE"
        )


def _names_loopback(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
