"""Operations: the control API, one row for each thing that can be asked."""

from collections.abc import Mapping
from typing import Any

from serve.base.routing import Routes
from serve.control import examples
from serve.control.api import Bundles
from serve.control.operation_row import CHANGE_ERRORS, LOOK_ERRORS, Operation
from serve.rollout import api_records as records
from serve.rollout.judging.weigh import Weighed, Weighing
from serve.rollout.replay import Replay
from serve.rollout.state.feedback import Feedback, Outcomes
from serve.rollout.trail.qualification import Qualification, QualificationView

MODELS = Operation(
    name="models",
    path="/control/models",
    summary="The models that are served",
    answer=dict[str, Any],
    schema="ControlModels",
    answered="Their names.",
)
MODEL = Operation(
    name="model",
    path="/control/models/{model}",
    summary="Routes and counts of a model",
    answer=dict[str, Any],
    schema="ControlModel",
    answered="Its routes, its variants, and the rollout that runs.",
)
ROUTES = Operation(
    name="routes",
    path="/control/models/{model}/routes",
    summary="Routes of a model",
    answer=Routes,
    answered="Those in force.",
    example=examples.ROUTES_ANSWER,
)
SET_ROUTES = Operation(
    name="set_routes",
    method="PUT",
    path="/control/models/{model}/routes",
    role="operate",
    summary="Set the routes of a model",
    description="What is left out stays as it is, and so do the weights of variants that `weights` does not "
    "name. 409 while a rollout of the model runs, or when the routes have changed since the `revision` that "
    "is sent along.",
    body=records.RoutesWanted,
    answer=Routes,
    answered="Those in force.",
    errors=(*CHANGE_ERRORS, "409"),
    examples=examples.ROUTES_EXAMPLES,
    example=examples.ROUTES_ANSWER,
)
CURVES = Operation(
    name="curves",
    path="/control/models/{model}/curves",
    summary="The last ten minutes of a model",
    answer=records.Curves,
    answered="By variant.",
    example=examples.CURVES_ANSWER,
)
BUNDLES = Operation(
    name="bundles",
    path="/control/models/{model}/bundles",
    summary="The bundles of a model",
    description="As they lie in the repository: `figures` is what was measured when they were exported, "
    "`loaded` the digest of the version that is served now.",
    answer=Bundles,
    answered="By variant, rejected ones too.",
    errors=(*LOOK_ERRORS, "400"),
)
TRAIL = Operation(
    name="trail",
    path="/control/models/{model}/trail",
    after=True,
    summary="What happened to a model's traffic",
    description="Every change of routes, every verdict and everything that people did, oldest first; each "
    "entry is sealed with the digest of the one before.",
    answer=tuple[records.TrailLine, ...],
    key="entries",
    schema="Trail",
    answered="At most 500 entries.",
    errors=(*LOOK_ERRORS, "400"),
    example=examples.TRAIL_ANSWER,
)
QUALIFICATIONS = Operation(
    name="qualifications",
    path="/control/models/{model}/qualifications",
    summary="What was found of candidates",
    answer=tuple[QualificationView, ...],
    key="qualifications",
    schema="Qualifications",
    answered="Those of versions long gone, too.",
    example=examples.QUALIFICATIONS_ANSWER,
)
QUALIFY = Operation(
    name="qualify",
    method="POST",
    path="/control/models/{model}/qualifications",
    role="operate",
    summary="Write down what was found of a candidate",
    description="As `counterweight qualify` does at its end. A policy with `qualified: true` starts only a "
    "candidate that was QUALIFIED in the version that is loaded. 409 when the digests are not those of what "
    "is loaded now.",
    body=Qualification,
    answer=QualificationView,
    status=201,
    answered="It stands in the trail.",
    errors=(*CHANGE_ERRORS, "409"),
    examples=examples.QUALIFY_EXAMPLES,
)
ROLLOUTS = Operation(
    name="rollouts",
    path="/control/models/{model}/rollouts",
    summary="Rollouts of a model",
    answer=tuple[records.RolloutLine, ...],
    key="rollouts",
    schema="Rollouts",
    answered="A line for each.",
    example=examples.ROLLOUTS_ANSWER,
)
START = Operation(
    name="start",
    method="POST",
    path="/control/models/{model}/rollouts",
    role="operate",
    summary="Start a rollout",
    description="From the model's baseline to the candidate. A policy says how; all of it has safe defaults. "
    "409 while another one runs.",
    body=records.RolloutWanted,
    answer=records.RolloutView,
    status=201,
    answered="It runs.",
    errors=(*CHANGE_ERRORS, "409"),
    examples=examples.ROLLOUT_EXAMPLES,
)
VIEW = Operation(
    name="view",
    path="/control/rollouts/{rollout}",
    summary="A rollout as it stands",
    answer=records.RolloutView,
    answered="All of it.",
    example=examples.VIEW_ANSWER,
)
REPLAY = Operation(
    name="replay",
    path="/control/rollouts/{rollout}/replay",
    summary="Every verdict computed once more",
    description="From the sums that it was computed from. A byte that was changed is a fault.",
    answer=Replay,
    answered="No faults, or what differs.",
    example=examples.REPLAY_ANSWER,
)


def _act(act: records.Act, summary: str, description: str, *errors: str) -> Operation[records.RolloutView]:
    return Operation(
        name="act",
        method="POST",
        path=f"/control/rollouts/{{rollout}}/{act}",
        role="operate",
        fixed=act,
        summary=summary,
        description=f"{description} 409 when its phase does not allow that, or something has happened since "
        "the `number` that is sent along.",
        body=records.ActWanted,
        empty=True,
        answer=records.RolloutView,
        answered="As it stands now.",
        errors=(*CHANGE_ERRORS, *errors, "409"),
        examples=examples.act_examples(act),
    )


ACTS: Mapping[records.Act, Operation[records.RolloutView]] = {
    "pause": _act("pause", "Pause a rollout", "It stands still at its share; harm still rolls it back."),
    "resume": _act("resume", "Go on with a paused rollout", "An approval that was due is asked for again."),
    "promote": _act(
        "promote", "Go one step further", "Without the evidence, or with the approval that was due."
    ),
    "abort": _act(
        "abort",
        "Abort a rollout",
        "All traffic goes to the baseline. 202 when no keeper answers: it is in force in the gateways, and "
        "is written down later.",
        "202",
    ),
    "accept": _act(
        "accept",
        "Make the candidate the baseline",
        "Of a rollout that is DONE. The next one starts from it, it helps out when another variant fails, "
        "and the baseline that was is a variant like others.",
    ),
}
FEEDBACK = Operation(
    name="feedback",
    method="POST",
    path="/control/models/{model}/feedback",
    role="operate",
    limited_by="feedback_per_s",
    summary="Labels that came later",
    description="Whether answers were right (`correct`), or what would have been (`label`, a class by its "
    "number or name), by the `x-request-id` that they carried; counted where a rollout watches accuracy. A "
    "label that comes before its request is known is `held` for half a minute and need not be sent again.",
    body=Outcomes,
    curl=True,
    answer=Feedback,
    answered="What became of them.",
    errors=CHANGE_ERRORS,
    examples=examples.FEEDBACK_EXAMPLES,
    example=examples.FEEDBACK_ANSWER,
)
WEIGH = Operation(
    name="weigh",
    method="POST",
    path="/control/weigh",
    summary="Compare two variants by your own counts",
    description="With the statistics of a rollout, which hold however often one looks: a load test that pins "
    "each request to a variant drawn at random counts by itself and asks here. Harm is shown where `harm` "
    "reaches `harm_at`, safety where `safe` reaches `safe_at`. Where the split shows harm, the requests were "
    "not drawn as said, and no figure counts. It only looks, so `view` is enough.",
    body=Weighing,
    answer=Weighed,
    answered="What each guard finds.",
    errors=("400", "401", "403", "413", "415"),
    examples=examples.WEIGH_EXAMPLES,
    example=examples.WEIGH_ANSWER,
)
OPERATIONS: tuple[Operation[Any], ...] = (
    MODELS,
    MODEL,
    ROUTES,
    SET_ROUTES,
    CURVES,
    BUNDLES,
    TRAIL,
    QUALIFICATIONS,
    QUALIFY,
    ROLLOUTS,
    START,
    VIEW,
    REPLAY,
    *ACTS.values(),
    FEEDBACK,
    WEIGH,
)
