"""JSON Schemas of the control API, generated from the records that are sent."""

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import CoreSchema, core_schema

from serve.base.record import Record
from serve.base.routing import Routes
from serve.control.api import Bundles
from serve.openapi.answer_schemas import Schema, listed, mapped, number, record, ref, text, whole
from serve.rollout.api_records import (
    ActWanted,
    Curves,
    RolloutLine,
    RolloutView,
    RolloutWanted,
    RoutesWanted,
    TrailLine,
)
from serve.rollout.judging.weigh import Weighed, Weighing
from serve.rollout.replay import Replay
from serve.rollout.state.feedback import Feedback, Outcomes
from serve.rollout.trail.qualification import Qualification, QualificationView

_ASKED: tuple[type[Record], ...] = (RoutesWanted, RolloutWanted, ActWanted, Outcomes, Weighing, Qualification)
_ANSWERED: tuple[type[Record], ...] = (
    Routes,
    RolloutView,
    RolloutLine,
    TrailLine,
    Curves,
    Feedback,
    Replay,
    Weighed,
    Bundles,
    QualificationView,
)


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles of fields, which only repeat their names."""

    def field_title_should_be_set(self, schema: CoreSchema | core_schema.ModelField) -> bool:
        return False


def _of_records() -> dict[str, Schema]:
    modes: list[tuple[type[Record], JsonSchemaMode]] = [
        *((kind, "validation") for kind in _ASKED),
        *((kind, "serialization") for kind in _ANSWERED),
    ]
    _, found = models_json_schema(
        modes, ref_template="#/components/schemas/{model}", schema_generator=_Untitled
    )
    schemas: dict[str, Schema] = found["$defs"]
    return schemas


CONTROL: dict[str, Schema] = {
    **_of_records(),
    "Conflict": record(
        {
            "error": text("The value, the present state, and what to do."),
            "current": whole(
                0, "The present number of the record that has changed; read it again and decide again."
            ),
        },
        optional=("current",),
    ),
    "ControlModels": record(
        {"models": listed(text()), "rolling": listed(text(), "The models that have a rollout in progress.")}
    ),
    "ControlModel": record(
        {
            "routes": ref("Routes"),
            "variants": mapped(
                record(
                    {
                        "share": number("The configured share of the requests."),
                        "requests": whole(),
                        "errors": whole(),
                        "p50_ms": {"type": ["number", "null"]},
                        "p99_ms": {"type": ["number", "null"]},
                        "ready": {"type": "boolean"},
                        "unproven": {"type": "boolean", "description": "Not measured on held-out rows."},
                        "compared": whole(0, "Rows (or tokens) that it answered as a shadow."),
                        "disagreements": whole(0, "The ones among them that differ from the baseline's."),
                        "dropped": whole(0, "Rows that were dropped before the shadow could answer them."),
                    }
                )
            ),
            "rollout": {"type": ["string", "null"], "description": "The rollout in progress."},
        }
    ),
    "Rollouts": record({"rollouts": listed(ref("RolloutLine"), "Newest first.")}),
    "Qualifications": record({"qualifications": listed(ref("QualificationView"), "Newest first.")}),
    "Trail": record({"entries": listed(ref("TrailLine"), "Oldest first.", maxItems=500)}),
}
