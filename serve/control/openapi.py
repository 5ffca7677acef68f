"""The control API in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any, get_args

from serve.control.examples import (
    CURVES_ANSWER,
    FEEDBACK_ANSWER,
    FEEDBACK_EXAMPLES,
    QUALIFICATIONS_ANSWER,
    QUALIFY_EXAMPLES,
    REPLAY_ANSWER,
    ROLLOUT_EXAMPLES,
    ROLLOUTS_ANSWER,
    ROUTES_ANSWER,
    ROUTES_EXAMPLES,
    TRAIL_ANSWER,
    VIEW_ANSWER,
    WEIGH_ANSWER,
    WEIGH_EXAMPLES,
    act_examples,
)
from serve.openapi.operations import TOKEN, Operation, json_answer, json_body, operation, shared
from serve.rollout.records import Act

_LOOKED = ("401", "403", "404", "503")
_CHANGED = ("400", "401", "403", "404", "413", "415", "429", "503")
_ACTS: Mapping[Act, tuple[str, str]] = {
    "pause": ("Pause a rollout", "It stands still at its share; harm still rolls it back."),
    "resume": ("Go on with a paused rollout", "An approval that was due is asked for again."),
    "promote": ("Go one step further", "Without the evidence, or with the approval that was due."),
    "abort": (
        "Abort a rollout",
        "All traffic goes to the baseline. 202 when no keeper answers: it is in force in the gateways, and "
        "is written down later.",
    ),
    "accept": (
        "Make the candidate the baseline",
        "Of a rollout that is DONE. The next one starts from it, it helps out when another variant fails, "
        "and the baseline that was is a variant like others.",
    ),
}


def control_paths() -> dict[str, Any]:
    """Every path under `/control`."""
    return {
        **_models(),
        **_records(),
        **_qualifications(),
        **_rollouts(),
        **_acts(),
        **_feedback(),
        **_weigh(),
    }


def _look(summary: str, given: dict[str, Any], *errors: str, **fields: Any) -> Operation:
    return operation("Control", summary, {"200": given}, (*_LOOKED, *errors), **TOKEN, **fields)


def _change(summary: str, answers: Mapping[str, Any], *errors: str, **fields: Any) -> Operation:
    return operation("Control", summary, answers, (*_CHANGED, *errors), **TOKEN, **fields)


def _models() -> dict[str, Any]:
    model = shared("Model")
    routes = json_answer("Those in force.", "Routes", example=ROUTES_ANSWER)
    return {
        "/control/models": {
            "get": _look("The models that are served", json_answer("Their names.", "ControlModels"))
        },
        "/control/models/{model}": {
            "get": _look(
                "Routes and counts of a model",
                json_answer("Its routes, its variants, and the rollout that runs.", "ControlModel"),
                parameters=model,
            )
        },
        "/control/models/{model}/routes": {
            "get": _look("Routes of a model", routes, parameters=model),
            "put": _change(
                "Set the routes of a model",
                {"200": routes},
                "409",
                description="What is left out stays as it is, and so do the weights of variants that "
                "`weights` does not name. 409 while a rollout of the model runs, or when the routes have "
                "changed since the `revision` that is sent along.",
                parameters=model,
                requestBody=json_body("RoutesWanted", ROUTES_EXAMPLES),
            ),
        },
    }


def _records() -> dict[str, Any]:
    model = shared("Model")
    curves = json_answer("By variant.", "Curves", example=CURVES_ANSWER)
    trail = json_answer("At most 500 entries.", "Trail", example=TRAIL_ANSWER)
    return {
        "/control/models/{model}/curves": {
            "get": _look("The last ten minutes of a model", curves, parameters=model)
        },
        "/control/models/{model}/bundles": {
            "get": _look(
                "The bundles of a model",
                json_answer("By variant, rejected ones too.", "Bundles"),
                "400",
                description="As they lie in the repository: `figures` is what was measured when they were "
                "exported, `loaded` the digest of the version that is served now.",
                parameters=model,
            )
        },
        "/control/models/{model}/trail": {
            "get": _look(
                "What happened to a model's traffic",
                trail,
                "400",
                description="Every change of routes, every verdict and everything that people did, oldest "
                "first; each entry is sealed with the digest of the one before.",
                parameters=shared("Model", "After"),
            )
        },
    }


def _qualifications() -> dict[str, Any]:
    views = json_answer("Those of versions long gone, too.", "Qualifications", example=QUALIFICATIONS_ANSWER)
    add = _change(
        "Write down what was found of a candidate",
        {"201": json_answer("It stands in the trail.", "QualificationView")},
        "409",
        description="As `counterweight qualify` does at its end. A policy with `qualified: true` starts only "
        "a candidate that was QUALIFIED in the version that is loaded. 409 when the digests are not those of "
        "what is loaded now.",
        parameters=shared("Model"),
        requestBody=json_body("Qualification", QUALIFY_EXAMPLES),
    )
    look = _look("What was found of candidates", views, parameters=shared("Model"))
    return {"/control/models/{model}/qualifications": {"get": look, "post": add}}


def _rollouts() -> dict[str, Any]:
    lines = json_answer("A line for each.", "Rollouts", example=ROLLOUTS_ANSWER)
    view = json_answer("All of it.", "RolloutView", example=VIEW_ANSWER)
    replay = json_answer("No faults, or what differs.", "Replay", example=REPLAY_ANSWER)
    start = _change(
        "Start a rollout",
        {"201": json_answer("It runs.", "RolloutView")},
        "409",
        description="From the model's baseline to the candidate. A policy says how; all of it has safe "
        "defaults. 409 while another one runs.",
        parameters=shared("Model"),
        requestBody=json_body("RolloutWanted", ROLLOUT_EXAMPLES),
    )
    one = shared("Rollout")
    return {
        "/control/models/{model}/rollouts": {
            "get": _look("Rollouts of a model", lines, parameters=shared("Model")),
            "post": start,
        },
        "/control/rollouts/{rollout}": {"get": _look("A rollout as it stands", view, parameters=one)},
        "/control/rollouts/{rollout}/replay": {
            "get": _look(
                "Every verdict computed once more",
                replay,
                description="From the sums that it was computed from. A byte that was changed is a fault.",
                parameters=one,
            )
        },
    }


def _acts() -> dict[str, Any]:
    def act(verb: Act) -> Operation:
        summary, description = _ACTS[verb]
        return _change(
            summary,
            {"200": json_answer("As it stands now.", "RolloutView")},
            *(("202", "409") if verb == "abort" else ("409",)),
            description=f"{description} 409 when its phase does not allow that, or something has happened "
            "since the `number` that is sent along.",
            parameters=shared("Rollout"),
            requestBody=json_body("ActWanted", act_examples(verb), required=False),
        )

    return {f"/control/rollouts/{{rollout}}/{verb}": {"post": act(verb)} for verb in get_args(Act)}


def _feedback() -> dict[str, Any]:
    tell = _change(
        "Labels that came later",
        {"200": json_answer("What became of them.", "Feedback", example=FEEDBACK_ANSWER)},
        description="Whether answers were right (`correct`), or what would have been (`label`, a class by "
        "its number or name), by the `x-request-id` that they carried; counted where a rollout watches "
        "accuracy. A label that comes before its request is known is `held` for half a minute and need not "
        "be sent again.",
        parameters=shared("Model"),
        requestBody=json_body("Outcomes", FEEDBACK_EXAMPLES),
    )
    return {"/control/models/{model}/feedback": {"post": tell}}


def _weigh() -> dict[str, Any]:
    ask = operation(
        "Control",
        "Compare two variants by your own counts",
        {"200": json_answer("What each guard finds.", "Weighed", example=WEIGH_ANSWER)},
        ("400", "401", "403", "413", "415"),
        description="With the statistics of a rollout, which hold however often one looks: a load test that "
        "pins each request to a variant drawn at random counts by itself and asks here. Harm is shown where "
        "`harm` reaches `harm_at`, safety where `safe` reaches `safe_at`. Where the split shows harm, the "
        "requests were not drawn as said, and no figure counts. It only looks, so `view` is enough.",
        requestBody=json_body("Weighing", WEIGH_EXAMPLES),
        **TOKEN,
    )
    return {"/control/weigh": {"post": ask}}
