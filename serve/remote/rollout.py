"""The `rollout` command: start, watch and steer a rollout on a server."""

import argparse
import json
import sys
import time
from pathlib import Path
from shutil import get_terminal_size

from serve.control import ActWanted, RolloutView, RolloutWanted
from serve.errors import InvalidRecord
from serve.remote.address import address_options, open_client
from serve.remote.client import Client
from serve.remote.follow import follow
from serve.remote.history import history, overview
from serve.remote.parser import add_parser
from serve.remote.terminal import open_screen
from serve.remote.view import place, render
from serve.remote.words import percent
from serve.rollout.policy import Policy, load_policy
from serve.rollout.rollout import Phase


def rollout(arguments: list[str]) -> int:
    """Exit code 0: done as asked, or it runs; 1: it was rolled back or ended without a decision, or the
    replay differs. Raises InvalidRecord, Refused and ServerFailed."""
    options = _parser().parse_args(arguments)
    code: int = options.run(open_client(options), options)
    return code


def _start(client: Client, options: argparse.Namespace) -> int:
    policy = load_policy(options.policy) if options.policy else Policy()
    view = client.start(options.model, RolloutWanted(candidate=options.to, policy=policy))
    _say(view)
    if options.watch:
        return _watch(client, view)
    sys.stdout.write(f"watch it: counterweight rollout status {options.model} --watch\n")
    return 0


def _status(client: Client, options: argparse.Namespace) -> int:
    if options.name is None:
        if options.watch:
            raise InvalidRecord("--watch follows one rollout; say of which MODEL, or which ROLLOUT")
        return _status_of_all(client, as_json=options.json)
    view = client.view(_find(client, options.name))
    if options.watch:
        return _watch(client, view)
    if options.json:
        sys.stdout.write(view.model_dump_json(indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(render(view, time.time(), get_terminal_size().columns)) + "\n")
    return _code(view)


def _status_of_all(client: Client, *, as_json: bool) -> int:
    newest = {model: client.rollouts(model)[:1] for model in client.models()}
    views = {model: client.view(line.rollout) if lines else None for model, lines in newest.items() for line in lines or [None]}
    return 0


def _watch(client: Client, view: RolloutView) -> int:
    with open_screen(sys.stdout) as screen:
        view = follow(client, view, screen)
    return _code(view)


def _act(client: Client, options: argparse.Namespace) -> int:
    rollout = _find(client, options.name)
    # The number tells the server what was known when this was decided.
    number = client.view(rollout).number
    _say(client.act(rollout, options.act, ActWanted(number=number)))
    return 0
