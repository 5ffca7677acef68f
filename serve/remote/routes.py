"""The `routes` command: how a server splits one model's traffic, and other routes for it."""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from serve.control import RoutesWanted
from serve.remote.address import address_options, open_client
from serve.remote.client import Client
from serve.remote.words import percent, printable
from serve.routing import parse_pairs

_HEARD_WITHIN_S = 3.0


def routes(arguments: list[str]) -> int:
    """Exit code 0. Raises InvalidRecord, Refused and ServerFailed."""
    options = _parser().parse_args(arguments)
    client = open_client(options)
    wanted = _wanted(options)
    if wanted != RoutesWanted():
        _await(client, options.model, client.set_routes(options.model, wanted).revision)
    shown = client.model(options.model)
    sys.stdout.write((json.dumps(shown, indent=2) if options.json else table(shown)) + "\n")
    return 0


def _await(client: Client, model: str, revision: int) -> None:
    """Return when the gateway that answers has heard of these routes, which takes it half a second."""
    until = time.monotonic() + _HEARD_WITHIN_S
    while client.model(model)["routes"]["revision"] < revision and time.monotonic() < until:
        time.sleep(0.1)


def table(shown: Mapping[str, Any]) -> str:
    """What the server says of a model, the baseline first, as a table."""
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
    running = f"; rollout {shown['rollout']} moves them" if shown["rollout"] else ""
    last = f"baseline {baseline}, sticky by {routes['sticky']}, revision {routes['revision']}{running}"
    lines = tabulate(rows, head, disable_numparse=True, colalign=align).splitlines()
    return "\n".join(printable(line) for line in [*lines, last])


def _ms(duration_ms: float | None) -> str:
    return "-" if duration_ms is None else f"{duration_ms:.2f}"


def _wanted(options: argparse.Namespace) -> RoutesWanted:
    """The change; whatever was not given stays as it is. Raises InvalidRecord."""
    wanted: dict[str, Any] = {"sticky": options.sticky}
    if options.set is not None:
        wanted["weights"] = parse_pairs(options.set, "--set", "--set fp32=90,slim-int8=10")
    if options.shadow is not None:
        given = options.shadow.strip()
        wanted["shadows"] = parse_pairs(given, "--shadow", "--shadow int8=1.0") if given else {}
    return RoutesWanted.parse(wanted, "routes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight routes",
        description="Show how a server splits one model's traffic and what its variants did; or change the "
        "split. What is not given stays as it is, and no request is lost.",
        epilog="example: counterweight routes digits --set fp32=90,slim-int8=10",
        parents=[address_options()],
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--set", metavar="VARIANT=WEIGHT,...", help="weights, relative to each other; 0: no request at all"
    )
    parser.add_argument(
        "--shadow",
        metavar="VARIANT=SHARE,...",
        help="variants that get copies of so many requests, above 0 to 1; their answers reach nobody; "
        '"" takes shadows away',
    )
    parser.add_argument(
        "--sticky",
        metavar="HEADER",
        help="requests with the same value of this header get the same variant, such as x-user-id",
    )
    parser.add_argument("--json", action="store_true", help="print what the server says as JSON")
    return parser
