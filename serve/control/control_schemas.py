"""Schemas of the control API, made from the records that are sent, so that they cannot differ."""

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
    """Without a title for each field, which would be its name once more."""

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
            "error": text("What came, what is so now, what to do."),
            "current": whole(0, "What has changed has this number now; read it and decide again."),
        },
        optional=("current",),
    ),
    "ControlModels": record(
        {"models": listed(text()), "rolling": listed(text(), "Those of which a rollout runs.")}
    ),
    "ControlModel": record(
        {
            "routes": ref("Routes"),
            "variants": mapped(
                record(
                    {
                        "share": number("Of the requests, as the routes ask for it."),
                        "requests": whole(),
                        "errors": whole(),
                        "p50_ms": {"type": ["number", "null"]},
                        "p99_ms": {"type": ["number", "null"]},
                        "ready": {"type": "boolean"},
                        "unproven": {"type": "boolean", "description": "Not measured on held-out rows."},
                        "compared": whole(0, "Rows, or tokens of a tagger, that it answered as a shadow."),
                        "disagreements": whole(0, "Those of them on which it and the baseline differ."),
                        "dropped": whole(0, "Rows that it should have got as a shadow, and did not."),
                    }
                )
            ),
            "rollout": {"type": ["string", "null"], "description": "The one that runs."},
        }
    ),
    "Rollouts": record({"rollouts": listed(ref("RolloutLine"), "Newest first.")}),
    "Qualifications": record({"qualifications": listed(ref("QualificationView"), "Newest first.")}),
    "Trail": record({"entries": listed(ref("TrailLine"), "Oldest first.", maxItems=500)}),
}
