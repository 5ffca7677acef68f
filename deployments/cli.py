"""The `serve` command."""

import argparse
import sys
import time
from pathlib import Path

from deployments.plan import Plan, plan_routes
from deployments.processes import stop_on_signals


def serve(arguments: list[str]) -> int:
    """Serve a repository until Ctrl-C or SIGTERM: exit code 0; 2 when it cannot start."""
    options = _parser().parse_args(arguments)
    models, routes = plan_routes(options.repository, options.weights)
    together = options.placement == "together"
    address = {"host": options.host, "port": options.port}
    plan = Plan.parse({"models": models, "routes": routes, "together": together, **address}, "serve")
    # Only now, when nothing that a person wrote can be wrong any more: ray takes seconds.
    from deployments.server import running

    stop_on_signals()
    names = ", ".join(model.name for model in models)
    _say(f"starting Ray Serve for {names} ({options.placement}) ...")
    try:
        with running(plan):
            _say(_welcome(plan))
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        _say("stopped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight serve",
        description="Serve every model of a repository behind one endpoint (Open Inference Protocol).",
        epilog="example: counterweight serve models --weights digits:fp32=90,slim-int8=10",
    )
    parser.add_argument("repository", type=Path, nargs="?", default=Path("models"), help="default: models")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL:VARIANT=WEIGHT,...",
        help="traffic split of one model; once per model; without it all traffic goes to the baseline",
    )
    parser.add_argument(
        "--placement",
        choices=["apart", "together"],
        default="apart",
        help="apart: a deployment per variant (default); together: sessions inside the gateway",
    )
    return parser


def _welcome(plan: Plan) -> str:
    lines = [f"serving on {plan.url} (Ctrl-C stops)"]
    for entry in plan.routes:
        split = ", ".join(f"{entry.share(variant):.4g} {variant}" for variant in entry.weights)
        lines.append(f"  {entry.model}: {split}   POST {plan.url}/v2/models/{entry.model}/infer")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
