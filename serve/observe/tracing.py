"""Create the exporter of traces, if one is configured."""

import os
from typing import TYPE_CHECKING

from serve.base.errors import ServerFailed

if TYPE_CHECKING:
    from serve.observe.spans import Tracer


def make_tracer() -> "Tracer | None":
    """Create a tracer as OpenTelemetry's environment variables say; None if they configure none.

    Raises ServerFailed if they name something that is not installed or not supported."""
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "")
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    endpoint = _either("ENDPOINT")
    if disabled or exporter == "none" or not (exporter or endpoint):
        return None
    if exporter not in ("", "otlp"):
        raise ServerFailed(f"OTEL_TRACES_EXPORTER is {exporter!r}, expected 'otlp' or 'none'")
    if (protocol := _either("PROTOCOL")) not in ("", "http/protobuf"):
        raise ServerFailed(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, expected 'http/protobuf'")
    try:
        from serve.observe.spans import Tracer
    except ModuleNotFoundError as error:
        setting = (
            f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}" if endpoint else f"OTEL_TRACES_EXPORTER={exporter}"
        )
        raise ServerFailed(
            f"{setting} asks for traces, but {error.name} is not installed; pip install "
            "opentelemetry-exporter-otlp-proto-http, or unset the variable"
        ) from None
    return Tracer()


def _either(what: str) -> str:
    # Variables for traces take precedence over variables for all signals.
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{what}") or os.environ.get(
        f"OTEL_EXPORTER_OTLP_{what}", ""
    )
