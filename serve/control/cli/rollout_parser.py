"""The argument parser of `counterweight rollout`, with an example for each command."""

import argparse
from pathlib import Path
from typing import Any

from serve.control.cli.client_options import address_options

_EITHER = "a model (its newest rollout) or a rollout"
_ACTS = {
    "pause": "keep the present share; harm still rolls back",
    "resume": "continue a paused rollout",
    "promote": "go to the next step without the evidence, or with the approval that is due",
    "abort": "move all traffic back to the baseline and end the rollout",
    "accept": "make the candidate of a DONE rollout the baseline of the next rollouts",
}


def rollout_parser() -> argparse.ArgumentParser:
    """Create the parser. It stores the name of the command in `command`."""
    parser = argparse.ArgumentParser(
        prog="counterweight rollout",
        description="Move a model's traffic from its baseline to another variant, step by step, as far as "
        "the evidence allows. The server runs the rollout; these commands control it and show its progress.",
        epilog="example: counterweight rollout start digits --to slim-int8 --watch",
    )
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    _add_start(commands)
    _add_status(commands)
    for act, summary in _ACTS.items():
        _add_act(commands, act, summary)
    _add_history(commands)
    _add_replay(commands)
    return parser


def _add_start(commands: Any) -> None:
    parser = _add(commands, "start", "start a rollout", "start digits --to slim-int8 --watch")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--to", required=True, metavar="VARIANT", help="the candidate")
    parser.add_argument("--policy", type=Path, metavar="FILE.yaml", help="the policy; default: a safe one")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="ignore the evidence of earlier rollouts of the same two versions",
    )
    parser.add_argument("--watch", action="store_true", help="follow it to its end, like `status --watch`")


def _add_status(commands: Any) -> None:
    parser = _add(
        commands, "status", "show a rollout, or the newest one of every model", "status digits --watch"
    )
    parser.add_argument("name", metavar="MODEL|ROLLOUT", nargs="?", help=f"{_EITHER}; default: all models")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--watch",
        action="store_true",
        help="follow it to its end, including the watch; exit code 0: DONE, 1: ROLLED_BACK or INCONCLUSIVE",
    )
    shown.add_argument("--json", action="store_true", help="print it as JSON, with its evidence")


def _add_act(commands: Any, act: str, summary: str) -> None:
    example = f"{act} digits" + (' --reason "wrong prices in the shop"' if act == "abort" else "")
    parser = _add(commands, act, summary, example)
    parser.add_argument("name", metavar="MODEL|ROLLOUT", help=_EITHER)
    parser.add_argument("--reason", metavar="TEXT", help="the reason, which is written to the trail")


def _add_history(commands: Any) -> None:
    parser = _add(commands, "history", "show who changed a model's traffic, when and why", "history digits")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--json", action="store_true", help="print the whole trail as JSON")


def _add_replay(commands: Any) -> None:
    summary = "compute every verdict again from the stored evidence; exit code 1 if anything differs"
    parser = _add(commands, "replay", summary, "replay digits-20261122-151230-3f9a")
    parser.add_argument("name", metavar="MODEL|ROLLOUT", help=_EITHER)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: counterweight rollout {example}",
        parents=[address_options()],
    )
    return parser
