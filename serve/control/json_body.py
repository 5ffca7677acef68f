"""Read a JSON body as a record."""

from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from serve.base.error_text import shorten
from serve.base.errors import InvalidRequest, UnsupportedMediaType
from serve.base.record import Record, explain
from serve.http.body_reader import BodyReader

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
R = TypeVar("R", bound=Record)


def _by_curl(request: Request) -> bool:
    """Whether curl sent this as a form. A browser would add headers that say where a form comes from."""
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
    return form and not {"origin", "referer", "sec-fetch-site"} & set(request.headers)


async def read_json(reader: BodyReader, request: Request, *, curl: bool = False) -> bytes:
    """The body, whose content type must be JSON; with `curl`, also the form type that `curl -d` sends. Raises
    UnsupportedMediaType and the errors of the reader."""
    if curl and _by_curl(request):
        return await reader.body(request)
    # For security: a page of another site can send a form, but JSON only with permission.
    media_type = request.headers.get("content-type", "")
    if media_type.partition(";")[0].strip().lower() != _JSON:
        received = f"is {shorten(media_type)!r}" if media_type else "is missing"
        raise UnsupportedMediaType(
            f"the header content-type {received}; send JSON, and content-type: {_JSON}"
        )
    return await reader.body(request)


def parse_record(body: bytes, kind: type[R]) -> R:
    """Validate the body as a record. Raises InvalidRequest with every fault."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(f"the body is not valid: {explain(error)}") from None
