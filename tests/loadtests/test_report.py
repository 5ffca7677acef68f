from typing import Any

import pytest
from pydantic import ValidationError

from loadtests.report import Kind, LoadReport
from tests.loadtests.reports import make_report

_KINDS: tuple[Kind, ...] = ("run", "compare", "capacity", "soak")


@pytest.mark.parametrize("kind", _KINDS)
def test_the_json_reads_back(kind: Kind) -> None:
    """A report of schema version 2 is the same after a round trip through JSON."""
    text = make_report(kind).model_dump_json()
    assert '"schema_version":2' in text
    assert LoadReport.model_validate_json(text) == make_report(kind)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("surprise", 1),
        ("schema_version", 1),
        ("kind", "walk"),
        ("started_at", "yesterday"),
        ("variants", None),
    ],
)
def test_what_is_no_report_is_refused(field: str, value: Any) -> None:
    """A report with an invalid field is refused."""
    fields = make_report().model_dump() | {field: value}
    with pytest.raises(ValidationError, match=field):
        LoadReport.model_validate(fields)
