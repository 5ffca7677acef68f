"""Parser: the options of `counterweight rollout`, each command of it with an example."""

import argparse
from pathlib import Path
from typing import Any

from serve.control.cli.address import address_options

_EITHER = "a model, whose newest rollout is meant, or a rollout"
_ACTS = {
    "pause": "stand still at the present share; harm still rolls back",
    "resume": "go on where it was paused",
    "promote": "one step further without the evidence, or with the approval that is due",
    "abort": "all traffic back to the baseline, for good",
    "accept": "make the candidate of a rollout that is DONE the baseline, from which the next one starts",
}


def rollout_parser() -> argparse.ArgumentParser:
    """It leaves the name of the command in `command`."""
    parser = argparse.ArgumentParser(
        prog="counterweight rollout",
        description="Move a model's traffic from its baseline to another variant, step by step, while the "
        "evidence allows it. The server does it; these commands tell it to, and show how it goes.",
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
    parser.add_argument(
        "--policy", type=Path, metavar="FILE.yaml", help="what is asked of it; without: safe defaults"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="forget what earlier rollouts of the same two versions have seen"
    )
    parser.add_argument("--watch", action="store_true", help="follow it to its end, as `status --watch` does")


def _add_status(commands: Any) -> None:
    parser = _add(
        commands, "status", "how a rollout stands, or the newest of every model", "status digits --watch"
    )
    parser.add_argument("name", metavar="MODEL|ROLLOUT", nargs="?", help=f"{_EITHER}; without: all models")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--watch",
        action="store_true",
        help="follow it to its end, past the watch; exit code 0: DONE, 1: ROLLED_BACK or INCONCLUSIVE",
    )
    shown.add_argument("--json", action="store_true", help="print it as JSON, with its evidence")


def _add_act(commands: Any, act: str, summary: str) -> None:
    example = f"{act} digits" + (' --reason "wrong prices in the shop"' if act == "abort" else "")
    parser = _add(commands, act, summary, example)
    parser.add_argument("name", metavar="MODEL|ROLLOUT", help=_EITHER)
    parser.add_argument("--reason", metavar="TEXT", help="why, for those who read its history")


def _add_history(commands: Any) -> None:
    parser = _add(
        commands, "history", "what was done to a model's traffic, by whom and why", "history digits"
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def _add_replay(commands: Any) -> None:
    summary = "compute every verdict once more from the stored evidence; exit code 1 if anything differs"
    parser = _add(commands, "replay", summary, "replay digits-20261122-151230-3f9a")
    parser.add_argument("name", metavar="MODEL|ROLLOUT", help=_EITHER)
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def _add(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: counterweight rollout {example}",
        parents=[address_options()],
    )
    return parser
