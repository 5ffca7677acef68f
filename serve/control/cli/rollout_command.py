"""The `rollout` command: start, watch and control a rollout on a server."""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from shutil import get_terminal_size

from serve.base.errors import InvalidRecord, Unwritten
from serve.base.record import nearest
from serve.control.cli.client_options import open_client
from serve.control.cli.control_client import ControlClient
from serve.control.cli.follow_command import follow
from serve.control.cli.history import history, overview
from serve.control.cli.rollout_parser import rollout_parser
from serve.control.cli.rollout_view import render, summary
from serve.control.cli.terminal import open_screen
from serve.control.operations import ACTS, MODEL, MODELS, REPLAY, ROLLOUTS, START, VIEW
from serve.rollout.api_records import ActRequest, RolloutRequest, RolloutView
from serve.rollout.state.policy import Policy, load_policy
from serve.rollout.state.rollout import Phase

# The names that the server gives to rollouts.
_NAME = re.compile(r".+-\d{8}-\d{6}-[0-9a-f]{4}")


def rollout(arguments: list[str]) -> int:
    """Run the command. Exit code 0: success or in progress; 1: rolled back, inconclusive, or the replay
    differs.

    Raises InvalidRecord, Refused and ServerFailed."""
    options = rollout_parser().parse_args(arguments)
    return _COMMANDS[options.command](open_client(options), options)


def _start(client: ControlClient, options: argparse.Namespace) -> int:
    policy = load_policy(options.policy) if options.policy else Policy()
    request = RolloutRequest(candidate=options.to, policy=policy, fresh=options.fresh)
    view = client.ask(START, options.model, body=request)
    if options.watch:
        return _watch(client, view)
    _say([summary(view), f"to watch it: counterweight rollout status {options.model} --watch"])
    return 0


def _status(client: ControlClient, options: argparse.Namespace) -> int:
    if options.name is None and options.watch:
        raise InvalidRecord("--watch needs a MODEL or a ROLLOUT")
    if options.name is None:
        return _overview(client, as_json=options.json)
    view = client.ask(VIEW, _find(client, options.name))
    if options.watch:
        return _watch(client, view)
    if options.json:
        _say([view.model_dump_json(indent=2)])
    else:
        _say(render(view, time.time(), _width()))
    return _code(view)


def _overview(client: ControlClient, *, as_json: bool) -> int:
    lines_of = {model: client.ask(ROLLOUTS, model) for model in _models(client)}
    newest = {model: lines[0] if lines else None for model, lines in lines_of.items()}
    if as_json:
        lines = {model: line and line.model_dump(mode="json") for model, line in newest.items()}
        _say([json.dumps({"models": lines}, indent=2)])
    else:
        _say(overview(newest, time.time(), _width()))
    return 0


def _abort(client: ControlClient, options: argparse.Namespace) -> int:
    # The gateway knows the rollout itself, so this works without a keeper.
    running = client.ask(MODEL, options.name)["rollout"] if options.name in _models(client) else None
    request = ActRequest.parse({"reason": options.reason}, "rollout abort")
    try:
        line = summary(client.ask(ACTS["abort"], running or _find(client, options.name), body=request))
    except Unwritten as done:
        line = str(done)
    _say([line])
    return 0


def _act(client: ControlClient, options: argparse.Namespace) -> int:
    name = _find(client, options.name)
    # The server refuses if the rollout has changed since this number was read. A pause is always safe, so it
    # is unconditional.
    number = None if options.command == "pause" else client.ask(VIEW, name).number
    request = ActRequest.parse({"number": number, "reason": options.reason}, f"rollout {options.command}")
    _say([summary(client.ask(ACTS[options.command], name, body=request))])
    return 0


def _history(client: ControlClient, options: argparse.Namespace) -> int:
    lines = client.trail(options.model)
    if options.json:
        _say([json.dumps({"entries": [line.model_dump(mode="json") for line in lines]}, indent=2)])
    else:
        _say(history(lines, _width()))
    return 0


def _replay(client: ControlClient, options: argparse.Namespace) -> int:
    replay = client.ask(REPLAY, _find(client, options.name))
    if options.json:
        _say([replay.model_dump_json(indent=2)])
    else:
        outcome = f"{len(replay.faults)} faults" if replay.faults else "all are the same"
        older = (
            f"; {replay.older} were computed by an older method and are not checked" if replay.older else ""
        )
        _say([f"{replay.rollout}: {replay.verdicts} verdicts computed again, {outcome}{older}"])
        _say([f"  {fault}" for fault in replay.faults])
    return 1 if replay.faults else 0


def _watch(client: ControlClient, view: RolloutView) -> int:
    with open_screen(sys.stdout) as screen:
        return _code(follow(client, view, screen))


def _find(client: ControlClient, name: str) -> str:
    """The rollout for a name. Raises InvalidRecord."""
    models = _models(client)
    if name not in models:
        if not _NAME.fullmatch(name):
            raise InvalidRecord(f"{name!r} is neither a served model nor a rollout; {nearest(name, models)}")
        return name
    lines = client.ask(ROLLOUTS, name)
    if not lines:
        raise InvalidRecord(_none(name))
    return lines[0].rollout


def _models(client: ControlClient) -> list[str]:
    return list(client.ask(MODELS)["models"])


def _none(model: str) -> str:
    return f"{model} has no rollouts; start one: counterweight rollout start {model} --to VARIANT"


def _code(view: RolloutView) -> int:
    return 1 if view.rollout.phase in (Phase.ROLLED_BACK, Phase.INCONCLUSIVE) else 0


def _say(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _width() -> int:
    return get_terminal_size().columns


_COMMANDS: Mapping[str, Callable[[ControlClient, argparse.Namespace], int]] = {
    "start": _start,
    "status": _status,
    "pause": _act,
    "resume": _act,
    "promote": _act,
    "abort": _abort,
    "accept": _act,
    "history": _history,
    "replay": _replay,
}
