"""The table of the control API: one row for each operation."""

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
    summary="List the served models",
    answer=dict[str, Any],
    schema="ControlModels",
    answered="The names of the models.",
)
MODEL = Operation(
    name="model",
    path="/control/models/{model}",
    summary="Show the routes and counts of a model",
    answer=dict[str, Any],
    schema="ControlModel",
    answered="The routes, the variants, and the rollout in progress.",
)
ROUTES = Operation(
    name="routes",
    path="/control/models/{model}/routes",
    summary="Show the routes of a model",
    answer=Routes,
    answered="The routes in force.",
    example=examples.ROUTES_ANSWER,
)
SET_ROUTES = Operation(
    name="set_routes",
    method="PUT",
    path="/control/models/{model}/routes",
    role="operate",
    summary="Set the routes of a model",
    description="Fields that are left out do not change, and neither do the weights of variants that "
    "`weights` does not name. The answer is 409 while the model has a rollout in progress, or if the "
    "routes have changed since the `revision` in the request.",
    body=records.RoutesRequest,
    answer=Routes,
    answered="The routes in force.",
    errors=(*CHANGE_ERRORS, "409"),
    examples=examples.ROUTES_EXAMPLES,
    example=examples.ROUTES_ANSWER,
)
CURVES = Operation(
    name="curves",
    path="/control/models/{model}/curves",
    summary="Show the last ten minutes of a model",
    answer=records.Curves,
    answered="Charts by variant.",
    example=examples.CURVES_ANSWER,
)
BUNDLES = Operation(
    name="bundles",
    path="/control/models/{model}/bundles",
    summary="List the bundles of a model",
    description="The bundles in the repository: `figures` are the measurements of the export, `loaded` is "
    "the digest of the version that is served.",
    answer=Bundles,
    answered="The bundles by variant, including rejected ones.",
    errors=(*LOOK_ERRORS, "400"),
)
TRAIL = Operation(
    name="trail",
    path="/control/models/{model}/trail",
    after=True,
    summary="Show the trail of a model",
    description="Every change of routes, every verdict and every act of a person, oldest first. Each entry "
    "is sealed together with the digest of the previous one.",
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
    summary="List the qualification results of a model",
    answer=tuple[QualificationView, ...],
    key="qualifications",
    schema="Qualifications",
    answered="The results, also for versions that are not loaded any more.",
    example=examples.QUALIFICATIONS_ANSWER,
)
QUALIFY = Operation(
    name="qualify",
    method="POST",
    path="/control/models/{model}/qualifications",
    role="operate",
    summary="Store a qualification result",
    description="`counterweight qualify` sends this at its end. A policy with `qualified: true` starts "
    "only if the loaded version of the candidate is QUALIFIED. The answer is 409 if the digests differ "
    "from those of the loaded versions.",
    body=Qualification,
    answer=QualificationView,
    status=201,
    answered="The stored result.",
    errors=(*CHANGE_ERRORS, "409"),
    examples=examples.QUALIFY_EXAMPLES,
)
ROLLOUTS = Operation(
    name="rollouts",
    path="/control/models/{model}/rollouts",
    summary="List the rollouts of a model",
    answer=tuple[records.RolloutLine, ...],
    key="rollouts",
    schema="Rollouts",
    answered="One entry per rollout.",
    example=examples.ROLLOUTS_ANSWER,
)
START = Operation(
    name="start",
    method="POST",
    path="/control/models/{model}/rollouts",
    role="operate",
    summary="Start a rollout",
    description="Starts a rollout from the model's baseline to the candidate. Every setting of the policy "
    "has a safe default. The answer is 409 while another rollout is in progress.",
    body=records.RolloutRequest,
    answer=records.RolloutView,
    status=201,
    answered="The rollout has started.",
    errors=(*CHANGE_ERRORS, "409"),
    examples=examples.ROLLOUT_EXAMPLES,
)
VIEW = Operation(
    name="view",
    path="/control/rollouts/{rollout}",
    summary="Show a rollout",
    answer=records.RolloutView,
    answered="The rollout with its evidence and its last verdict.",
    example=examples.VIEW_ANSWER,
)
REPLAY = Operation(
    name="replay",
    path="/control/rollouts/{rollout}/replay",
    summary="Compute every verdict of a rollout again",
    description="Uses the stored sums of each verdict. Any changed byte is reported as a fault.",
    answer=Replay,
    answered="The faults; none if everything is the same.",
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
        description=f"{description} The answer is 409 if the phase does not allow this, or if the rollout "
        "has changed since the `number` in the request.",
        body=records.ActRequest,
        empty=True,
        answer=records.RolloutView,
        answered="The present state of the rollout.",
        errors=(*CHANGE_ERRORS, *errors, "409"),
        examples=examples.act_examples(act),
    )


ACTS: Mapping[records.Act, Operation[records.RolloutView]] = {
    "pause": _act("pause", "Pause a rollout", "The rollout keeps its share; harm still rolls it back."),
    "resume": _act("resume", "Resume a paused rollout", "If an approval was due, it is due again."),
    "promote": _act(
        "promote", "Promote to the next step", "Skips the evidence, or gives the approval that is due."
    ),
    "abort": _act(
        "abort",
        "Abort a rollout",
        "All traffic goes to the baseline. The answer is 202 if no keeper answers: the abort is in force "
        "in all gateways, and is written to the store later.",
        "202",
    ),
    "accept": _act(
        "accept",
        "Make the candidate the baseline",
        "The rollout must be DONE. The next rollout starts from the new baseline, and the new baseline "
        "answers when another variant fails. The old baseline becomes an ordinary variant.",
    ),
}
FEEDBACK = Operation(
    name="feedback",
    method="POST",
    path="/control/models/{model}/feedback",
    role="operate",
    limited_by="feedback_per_s",
    summary="Send labels",
    description="Says whether answers were right (`correct`), or which class is right (`label`, by its "
    "number or name; for a binary model 1, 0 or a name). A label is refused if the answers of the model do "
    "not name one class. The `x-request-id` of the answer names the request. Labels count if a rollout "
    "watches accuracy. A label that comes before its request is known is `held` for half a minute; you "
    "need not send it again.",
    body=Outcomes,
    curl=True,
    answer=Feedback,
    answered="What happened to each label.",
    errors=CHANGE_ERRORS,
    examples=examples.FEEDBACK_EXAMPLES,
    example=examples.FEEDBACK_ANSWER,
)
WEIGH = Operation(
    name="weigh",
    method="POST",
    path="/control/weigh",
    summary="Compare two variants by your own counts",
    description="Applies the statistics of a rollout, which stay valid however often you look. A load test "
    "that pins each request to a random variant can count by itself and ask here. Harm is shown if `harm` "
    "reaches `harm_at`, safety if `safe` reaches `safe_at`. If the split shows harm, the requests were not "
    "assigned with the given share, and no figure is valid. The role `view` is sufficient.",
    body=Weighing,
    answer=Weighed,
    answered="The result of each guard.",
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
