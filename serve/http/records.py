"""Records on the wire: a body read as one, and one as an answer."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from serve.base.errors import InvalidRequest, UnsupportedMediaType
from serve.base.record import Record, explain
from serve.base.wording import shorten
from serve.http.reader import Reader

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
R = TypeVar("R", bound=Record)


async def read_record(
    reader: Reader, request: Request, kind: type[R], *, empty: bool = False, curl: bool = False
) -> R:
    """The body as a record of that kind; `empty`: no body is `{}`; `curl`: also as `curl -d` sends it, which
    calls everything a form. Raises UnsupportedMediaType, InvalidRequest with every fault, and what the reader
    raises."""
    body = await reader.body(request) if curl and _by_curl(request) else await read_json(reader, request)
    return parse_record(b"{}" if empty and not body else body, kind)


def _by_curl(request: Request) -> bool:
    """Whether it is called a form, and no page can have sent it: a browser says where a form comes from."""
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
    return form and not {"origin", "referer", "sec-fetch-site"} & set(request.headers)


async def read_json(reader: Reader, request: Request) -> bytes:
    """The body, which says that it is JSON. Raises UnsupportedMediaType, and what the reader raises."""
    # Not for form's sake: a page of another site can send a form, but JSON only if it was allowed to.
    media_type = request.headers.get("content-type", "")
    if media_type.partition(";")[0].strip().lower() != _JSON:
        came = f"is {shorten(media_type)!r}" if media_type else "is missing"
        raise UnsupportedMediaType(f"the header content-type {came}; send JSON, and content-type: {_JSON}")
    return await reader.body(request)


def parse_record(body: bytes, kind: type[R]) -> R:
    """The body as a record of that kind. Raises InvalidRequest with every fault."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(f"the body: {explain(error)}") from None


def answer_record(record: Record, status: int = 200) -> Response:
    """`record` as a response."""
    return Response(record.model_dump_json(), status, media_type=_JSON)


def answer_records(name: str, records: Sequence[Record]) -> Response:
    """`records` as a response, in a list of that name."""
    listed = ",".join(record.model_dump_json() for record in records)
    return Response(f'{{"{name}":[{listed}]}}', media_type=_JSON)
