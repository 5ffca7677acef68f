"""The `serve` command."""

import argparse
import sys
import time
from pathlib import Path

from deployments.processes import go_on_guarded, stop_if_asked
from deployments.repository_index import tell_unserved
from deployments.server_plan import ServerPlan, parse_all_weights, parse_placements
from serve.base.access import read_grants
from serve.base.errors import InvalidRecord, StoreFailed
from serve.base.settings import Settings
from serve.rollout.store.store import Store

_STORE = ".rollouts.db"
_KEY = ".rollouts.key"


def serve(arguments: list[str]) -> int:
    """Serve a repository until Ctrl-C or SIGTERM: exit code 0; 2 when it cannot start."""
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
            "settings": _parse_settings(options.set),
        },
        "serve",
    )
    models = plan.read()
    for model in models:
        plan.routes_of(model)
    _try_store(plan)
    go_on_guarded()
    # Only now, when nothing that a person wrote can be wrong any more: ray takes seconds.
    from deployments.server import running

    names = ", ".join(f"{model.name} ({plan.placement_of(model.name)})" for model in models)
    _say(f"starting Ray Serve for {names} ...")
    try:
        with running(plan) as logs:
            _say(_welcome(plan))
            _say(f"  logs, until it stops: {logs}")
            while True:
                time.sleep(1)
                # The signal may have come in a place where Python ignores what is raised.
                stop_if_asked()
    except KeyboardInterrupt:
        _say("stopped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight serve",
        description="Serve every model of a repository behind one endpoint: the Open Inference Protocol over "
        "HTTP and gRPC.",
        epilog="example: counterweight serve models --weights digits:fp32=90,slim-int8=10",
    )
    add = parser.add_argument
    add("repository", type=Path, nargs="?", default=Path("models"), help="default: models")
    add("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    add("--port", type=int, default=8000, help="of HTTP; default: 8000")
    add("--grpc-port", type=int, default=8001, help="default: 8001")
    add(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL:VARIANT=WEIGHT,...",
        help="traffic split of one model; once per model; without it all traffic goes to the baseline",
    )
    add(
        "--placement",
        action="append",
        default=[],
        metavar="[MODEL=]PLACEMENT",
        help="apart: a Ray application per variant (default); together: sessions inside the gateways; for "
        "every model, or for one",
    )
    add("--gateways", type=int, default=1, help="processes that take requests; default: 1")
    add("--replicas", type=int, default=1, help="processes per variant that is placed apart; default: 1")
    add("--access-log", type=Path, metavar="FILE", help="append a JSON line for every request")
    add(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="YAML: a list of {name, role, token}; role view or operate opens /control and /metrics, infer "
        "closes inference to everybody else; without it this machine may do everything, any other only infer",
    )
    add(
        "--store",
        metavar="URL",
        help="where rollouts are written down: sqlite:////FOLDER/FILE.db or "
        f"postgresql://USER:PASSWORD@HOST/DATABASE; default: {_STORE} in the repository",
    )
    add(
        "--seal-key",
        type=Path,
        metavar="FILE",
        help="the key that what is written is sealed with, made if need be; keep it where who can write the "
        f"store cannot read it; default: beside a SQLite file, with the ending .key, or else {_KEY} in the "
        "repository",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a limit of serve/base/settings.py: " + ", ".join(Settings.model_fields),
    )
    return parser


def _seal_key(options: argparse.Namespace) -> Path | None:
    """Where the key lies that the trail is sealed with. A database has no place beside it."""
    if options.seal_key is not None:
        return Path(options.seal_key).absolute()
    beside = options.store is None or options.store.startswith("sqlite:")
    return None if beside else options.repository.resolve() / _KEY


def _try_store(plan: ServerPlan) -> None:
    """Raise StoreFailed when nothing can be written down there."""
    try:
        Store(plan.store, "door", plan.seal_key).close()
    except StoreFailed as error:
        raise StoreFailed(f"{error}; name another place with --store") from None


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
        f"  to look at: {plan.url}/, to read: {plan.url}/docs",
    ]
    store = Store(plan.store, "door", plan.seal_key)
    for model in plan.read():
        present = store.read(model.name)
        routes = present.routes or plan.routes_of(model)
        split = ", ".join(f"{routes.share(variant):.4g} {variant}" for variant in routes.weights)
        lines.append(f"  {model.name}: {split}   POST {plan.url}/v2/models/{model.name}/infer")
        if routes.weights != plan.routes_of(model).weights:
            lines.append(f"    as it was decided before: counterweight rollout history {model.name}")
        lines += [f"    {line}" for line in tell_unserved(model)]
    store.close()
    if plan.access.closed:
        lines.append(
            f"  closed: /control, /metrics, load and unload, for {plan.host} is not this machine alone; "
            "open them with --tokens FILE"
        )
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
