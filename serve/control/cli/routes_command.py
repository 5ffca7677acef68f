"""The `routes` command: show or change how a server splits the traffic of a model."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tabulate import tabulate

from serve.base.errors import InvalidRecord, StaleRevision
from serve.base.routing import Routes, moved, parse_pairs
from serve.control.cli.client_options import address_options, open_client
from serve.control.cli.control_client import ControlClient
from serve.control.cli.text_format import percent, printable
from serve.control.operations import MODEL, SET_ROUTES
from serve.rollout.api_records import RoutesRequest

_HEARD_WITHIN_S = 3.0
# Moving more than this share of the traffic at once needs --yes.
_MOST_AT_ONCE = 0.5


def routes(arguments: list[str]) -> int:
    """Run the command; returns exit code 0. Raises InvalidRecord, Refused, StaleRevision and ServerFailed."""
    options = _parser().parse_args(arguments)
    client = open_client(options)
    change = _wanted(options)
    if change != RoutesRequest():
        try:
            revision = _change(client, options, change)
        except StaleRevision as error:
            # The gateway that answered did not have the newest routes yet.
            _await(client, options.model, error.current)
            revision = _change(client, options, change)
        _await(client, options.model, revision)
    shown = client.ask(MODEL, options.model)
    sys.stdout.write((json.dumps(shown, indent=2) if options.json else table(shown)) + "\n")
    return 0


def _change(client: ControlClient, options: argparse.Namespace, change: RoutesRequest) -> int:
    """Set the routes. Returns their new revision. Raises InvalidRecord, Refused and
    StaleRevision."""
    if change.weights is not None:
        shown = client.ask(MODEL, options.model)
        before = Routes.parse(shown["routes"], client.url)
        after = change.onto(before)
        # The server reports variants that are not served.
        if set(change.weights) <= set(shown["variants"]):
            _refuse_much(before, after, options)
        # Send all weights: a server of an older version sets unnamed ones to 0.
        change = change.model_copy(update={"weights": after.weights, "revision": before.revision})
    return client.ask(SET_ROUTES, options.model, body=change).revision


def _refuse_much(before: Routes, after: Routes, options: argparse.Namespace) -> None:
    """Raise InvalidRecord if much of the traffic would move and --yes is missing."""
    if options.yes or (share := moved(before, after)) <= _MOST_AT_ONCE:
        return
    parts = ", ".join(
        f"{name} from {percent(before.share(name))} to {percent(after.share(name))}"
        for name in after.weights
        if before.share(name) != after.share(name)
    )
    raise InvalidRecord(
        f"--set {options.set} would move {percent(share)} of the traffic of {options.model} at once "
        f"({parts}); add --yes to do it"
    )


def _await(client: ControlClient, model: str, revision: int) -> None:
    """Return when the gateway that answers has these routes, which takes up to half a second."""
    until = time.monotonic() + _HEARD_WITHIN_S
    while client.ask(MODEL, model)["routes"]["revision"] < revision and time.monotonic() < until:
        time.sleep(0.1)


def table(shown: Mapping[str, Any]) -> str:
    """Format the state of a model as a table, the baseline first."""
    routes = shown["routes"]
    baseline, shadows = routes["baseline"], routes["shadows"]
    rows = [
        [
            name,
            percent(variant["share"]),
            percent(shadows[name]) if name in shadows else "-",
            f"{variant['requests']:,}",
            f"{variant['errors']:,}",
            _ms(variant["p50_ms"]),
            _ms(variant["p99_ms"]),
            "yes" if variant["ready"] else "no",
        ]
        for name, variant in sorted(shown["variants"].items(), key=lambda item: (item[0] != baseline, item))
    ]
    head = ["variant", "share", "copies", "requests", "errors", "p50 ms", "p99 ms", "ready"]
    align = ["left", *["right"] * 6, "left"]
    running = f"; rollout {shown['rollout']} is in progress" if shown["rollout"] else ""
    last = f"baseline {baseline}, sticky by {routes['sticky']}, revision {routes['revision']}{running}"
    lines = tabulate(rows, head, disable_numparse=True, colalign=align).splitlines()
    unproven = [
        f"{name} is unproven: it has not been measured on real held-out rows"
        for name, variant in shown["variants"].items()
        if variant.get("unproven")
    ]
    return "\n".join(printable(line) for line in [*lines, *_agreement(shown["variants"]), *unproven, last])


def _agreement(variants: Mapping[str, Any]) -> Iterator[str]:
    """The agreement of each shadow, also of former shadows."""
    for name, variant in variants.items():
        # A server of an older version does not send these.
        compared, dropped = variant.get("compared", 0), variant.get("dropped", 0)
        if compared or dropped:
            agree = compared - variant["disagreements"]
            share = f" ({agree / compared:.2%})" if compared else ""
            agreement = f"{agree:,} of {compared:,} pairs agree{share}"
            yield f"{name} as a shadow: {agreement}; {dropped:,} copies dropped"


def _ms(duration_ms: float | None) -> str:
    return "-" if duration_ms is None else f"{duration_ms:.2f}"


def _wanted(options: argparse.Namespace) -> RoutesRequest:
    """The requested change; options that are missing change nothing. Raises InvalidRecord."""
    change: dict[str, Any] = {"sticky": options.sticky}
    if options.set is not None:
        change["weights"] = parse_pairs(options.set, "--set", "--set fp32=90,slim-int8=10")
    if options.shadow is not None:
        text = options.shadow.strip()
        change["shadows"] = parse_pairs(text, "--shadow", "--shadow int8=1.0") if text else {}
    return RoutesRequest.parse(change, "routes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight routes",
        description="Show how a server splits the traffic of a model, with the counts of its variants; or "
        "change the split. Options that you leave out change nothing, and neither do the weights of variants "
        "that --set does not name. No request is lost.",
        epilog="example: counterweight routes digits --set fp32=90,slim-int8=10",
        parents=[address_options()],
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--set",
        metavar="VARIANT=WEIGHT,...",
        help="weights, relative to each other and to unnamed weights, which stay: beside fp32=100, "
        "int8=50 is a third of the requests; 0: no requests",
    )
    parser.add_argument(
        "--yes", action="store_true", help="allow moving more than half of the traffic at once"
    )
    parser.add_argument(
        "--shadow",
        metavar="VARIANT=SHARE,...",
        help="variants that get copies of this share of the requests, above 0 to 1; their answers are sent "
        'to nobody; "" removes all shadows',
    )
    parser.add_argument(
        "--sticky",
        metavar="HEADER",
        help="requests with the same value of this header get the same variant; for example x-user-id",
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")
    return parser
