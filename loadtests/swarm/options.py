"""The options of a swarm, from Locust's command line or from its web form."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits, load_limits
from loadtests.load_plan import LoadPlan, check_pins, check_url, make_plan, steady
from loadtests.sending.client import Client
from loadtests.sending.input_words import parse_inputs
from loadtests.sending.measure import LoadTarget
from loadtests.sending.model_metadata import read_metadata
from loadtests.sending.payloads import prepare_payloads
from serve.base.server_address import read_token


@dataclass(frozen=True, kw_only=True)
class SwarmOptions:
    """An endless load, and the limits of the model under it."""

    # The profile has one second, which is repeated.
    plan: LoadPlan
    limits: Limits
    client: Client
    target: LoadTarget


def add_options(parser: Any) -> None:
    """Add our options to Locust's. Empty text means that an option is not set, because the form has no
    None."""
    parser.add_argument("--model", default="", is_required=True, help="The model's name")
    parser.add_argument(
        "--rate", type=float, default=100.0, help="Requests per second of all workers together"
    )
    parser.add_argument("--seed", type=int, default=0, help="The same seed sends the same load")
    parser.add_argument("--warmup", type=float, default=2.0, help="Seconds of load before the measurement")
    parser.add_argument(
        "--pin",
        default="",
        metavar="VARIANT,...",
        help="Request these variants instead of following the server's split",
    )
    parser.add_argument(
        "--inputs",
        default="",
        metavar="FILE",
        help="Real inputs: .npz, .npy, .parquet, .csv or .jsonl, or a .txt with a text per line",
    )
    parser.add_argument(
        "--columns",
        default="",
        metavar="INPUT=NAME,...",
        help="What inputs come from in the file, separated by spaces",
    )
    parser.add_argument(
        "--range",
        default="",
        metavar="INPUT=LOW:HIGH",
        help="Without a file: the numbers of inputs, separated by spaces",
    )
    parser.add_argument("--binary", action="store_true", help="Send tensors as bytes instead of JSON")
    parser.add_argument(
        "--limits", default="", metavar="FILE.yaml", help="File with the limits that the model must keep"
    )
    parser.add_argument(
        "--set", default="", metavar="NAME=VALUE,...", help="Single limits, such as p99_ms=50,errors=0.02"
    )
    hidden = {"default": "", "metavar": "FILE", "include_in_web_ui": False}
    parser.add_argument("--token-file", **hidden, help="File with the server's token")
    parser.add_argument("--report", **hidden, help="Write the report as JSON when the test is stopped")


def read_options(host: str | None, options: Namespace) -> SwarmOptions:
    """Read the options and the server's metadata of the model. Raises LoadTestError."""
    if not host:
        raise LoadTestError("no server is given; add --host http://127.0.0.1:8000")
    if not options.model:
        raise LoadTestError("no model is given; add --model NAME")
    limits = load_limits(_path(options.limits), [word for word in options.set.split(",") if word])
    plan = make_plan(
        url=check_url(host),
        model=options.model,
        profile=steady(options.rate, 1),
        warmup_s=options.warmup,
        seed=options.seed,
        pinned=tuple(options.pin.split(",")) if options.pin else (),
        binary=options.binary,
    )
    client = Client(url=plan.url, token=read_token(_path(options.token_file)))
    metadata = read_metadata(client, plan.model)
    check_pins(plan.pinned, metadata)
    words = (options.columns.split(), options.range.split())
    payloads = prepare_payloads(parse_inputs(_path(options.inputs), *words, plan.seed), metadata)
    return SwarmOptions(
        plan=plan,
        limits=limits,
        client=client,
        target=LoadTarget(metadata=metadata, payloads=payloads, headers=client.headers),
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None
