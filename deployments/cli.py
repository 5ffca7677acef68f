"""The `serve` command."""

import argparse
import sys
import time
from pathlib import Path

from deployments.processes import go_on_guarded, stop_if_signalled
from deployments.repository_index import describe_unserved
from deployments.server_plan import ServerPlan, parse_all_weights, parse_placements
from serve.base.access import read_grants
from serve.base.errors import InvalidRecord, StoreFailed
from serve.base.settings import Settings
from serve.rollout.store.store import Store

_STORE = ".rollouts.db"
_KEY = ".rollouts.key"


def serve(arguments: list[str]) -> int:
    """Serve a repository until Ctrl-C or SIGTERM. Exit code 0; 2 if it cannot start."""
    options = _parser().parse_args(arguments)
    plan = ServerPlan.parse(
        {
            "repository": options.repository.resolve(),
            "weights": parse_all_weights(options.weights),
            "placements": parse_placements(options.placement),
            "host": options.host,
            "port": options.port,
            "grpc_port": options.grpc_port,
            "gateways": options.gateways,
            "replicas": options.replicas,
            "access_log": None if options.access_log is None else options.access_log.absolute(),
            "grants": None if options.tokens is None else read_grants(options.tokens),
            "store": options.store or f"sqlite:///{options.repository.resolve() / _STORE}",
            "seal_key": _seal_key(options),
            "unproven": options.unproven,
            "settings": _parse_settings(options.set),
        },
        "serve",
    )
    models = plan.read()
    for model in models:
        plan.routes_of(model)
    _try_store(plan)
    go_on_guarded()
    # Imported after all input is checked, because importing ray takes seconds.
    from deployments.server import running

    names = ", ".join(f"{model.name} ({plan.placement_of(model.name)})" for model in models)
    _say(f"starting Ray Serve for {names} ...")
    try:
        with running(plan) as logs:
            _say(_welcome(plan))
            _say(f"  logs, deleted when the server stops: {logs}")
            while True:
                time.sleep(1)
                # Python ignores the KeyboardInterrupt of a signal in some places.
                stop_if_signalled()
    except KeyboardInterrupt:
        _say("stopped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight serve",
        description="Serve every model of a repository behind one endpoint, with the Open Inference "
        "Protocol over HTTP and gRPC.",
        epilog="example: counterweight serve models --weights digits:fp32=90,slim-int8=10",
    )
    parser.add_argument(
        "repository",
        type=Path,
        nargs="?",
        default=Path("models"),
        help="the folder of models; default: models",
    )
    parser.add_argument(
        "--unproven",
        action="store_true",
        help="also serve models that were exported with random rows, of whose quality nothing is known",
    )
    _add_listening(parser)
    _add_placement(parser)
    _add_store(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a limit of serve/base/settings.py: " + ", ".join(Settings.model_fields),
    )
    return parser


def _add_listening(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1 (only this machine)")
    add("--port", type=int, default=8000, help="HTTP port; default: 8000")
    add("--grpc-port", type=int, default=8001, help="gRPC port; default: 8001")
    add("--access-log", type=Path, metavar="FILE", help="append one JSON line per request")
    add(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="YAML list of {name, role, token}; the roles view and operate open /control and /metrics; "
        "with a token of role infer, inference needs a token; without tokens, only this machine has full "
        "access",
    )


def _add_placement(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL:VARIANT=WEIGHT,...",
        help="the initial split of one model; can be repeated; default: all traffic to the baseline",
    )
    add(
        "--placement",
        action="append",
        default=[],
        metavar="[MODEL=]PLACEMENT",
        help="apart: one Ray application per variant (default); together: sessions inside the gateways; for "
        "all models, or for one",
    )
    add("--gateways", type=int, default=1, help="number of gateway processes; default: 1")
    add("--replicas", type=int, default=1, help="processes per variant in placement apart; default: 1")


def _add_store(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--store",
        metavar="URL",
        help="the store of rollouts: sqlite:////FOLDER/FILE.db or "
        f"postgresql://USER:PASSWORD@HOST/DATABASE; default: {_STORE} in the repository",
    )
    add(
        "--seal-key",
        type=Path,
        metavar="FILE",
        help="file with the key that seals the store; created if it is missing; people who can write the "
        "store should not be able to read it; default: beside a SQLite file, with the ending .key, or else "
        f"{_KEY} in the repository",
    )


def _seal_key(options: argparse.Namespace) -> Path | None:
    """The file of the seal key. A database server has no folder beside it, so the repository is the
    default."""
    if options.seal_key is not None:
        return Path(options.seal_key).absolute()
    beside = options.store is None or options.store.startswith("sqlite:")
    return None if beside else options.repository.resolve() / _KEY


def _try_store(plan: ServerPlan) -> None:
    """Raise StoreFailed if the store cannot be used."""
    try:
        Store(plan.store, "door", plan.seal_key).close()
    except StoreFailed as error:
        raise StoreFailed(f"{error}; set another store with --store") from None


def _parse_settings(texts: list[str]) -> Settings:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidRecord(f"--set {text}: write NAME=VALUE, such as max_batch_rows=16")
        pairs[name] = value
    return Settings.parse(pairs, "--set")


def _welcome(plan: ServerPlan) -> str:
    lines = [
        f"serving on {plan.url}, gRPC on {plan.host}:{plan.grpc_port} (Ctrl-C stops)",
        f"  dashboard: {plan.url}/   API reference: {plan.url}/docs",
    ]
    store = Store(plan.store, "door", plan.seal_key)
    for model in plan.read():
        present = store.read(model.name)
        routes = present.routes or plan.routes_of(model)
        split = ", ".join(f"{routes.share(variant):.4g} {variant}" for variant in routes.weights)
        lines.append(f"  {model.name}: {split}   POST {plan.url}/v2/models/{model.name}/infer")
        if routes.weights != plan.routes_of(model).weights:
            lines.append(f"    this split was set earlier: counterweight rollout history {model.name}")
        lines += [f"    {line}" for line in describe_unserved(model)]
    store.close()
    if plan.access.closed:
        lines.append(
            f"  closed: /control, /metrics, load and unload, because {plan.host} is not only this machine; "
            "open them with --tokens FILE"
        )
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
