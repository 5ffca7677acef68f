"""Reads a report from its JSON."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from loadtests.errors import LoadTestError
from loadtests.report import LoadReport
from serve.base.record import explain

_VERSION = LoadReport.model_fields["schema_version"].default


def read_report(path: Path) -> LoadReport:
    """Read the report in `path`. Raises LoadTestError if it is not a report of this schema version."""
    try:
        data: Any = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise LoadTestError(
            f"cannot read the report {path}: {error.strerror}; name a file that --json wrote"
        ) from None
    except (ValueError, RecursionError) as error:
        raise LoadTestError(
            f"{path} is not JSON: {error}; name a file that `loadtest ... --json FILE` wrote"
        ) from None
    if not isinstance(data, dict) or "schema_version" not in data:
        raise LoadTestError(f"{path} is not a report of a load test: it has no schema_version")
    if data["schema_version"] != _VERSION:
        raise LoadTestError(
            f"{path} has schema version {data['schema_version']!r:.40}, expected {_VERSION}; "
            "measure again, or read it with the release that wrote it"
        )
    try:
        return LoadReport.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise LoadTestError(f"{path} is not a report of a load test: {explain(error)}") from None
