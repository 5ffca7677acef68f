"""The `demo` command."""

import argparse
import json
import sys
import time
from pathlib import Path

from deployments.ports import free_ports, require_free
from deployments.processes import stop_on_signals
from serve.base.atomic_file import write_whole
from serve.base.errors import ServerFailed

_PORT = 8000


def demo(arguments: list[str]) -> int:
    """Run the command and return its exit code: 0 if the best variant took over, the bad candidate was
    stopped in its shadow, and every request was answered, or else 1."""
    options = _parser().parse_args(arguments)
    stop_on_signals()
    # Imported here because matplotlib takes a second, which `--help` should not wait for.
    from deployments.demo.demo_page import render
    from deployments.demo.demo_steps import OUT, ROOT, build_summary, compare, make_model, roll_out, served
    from deployments.demo.demo_table import table
    from deployments.demo.shell import Shell

    began, shell = time.monotonic(), Shell(ROOT, _say)
    make_model(shell)
    port = _pick_port()
    url = f"http://127.0.0.1:{port}"
    with served(shell, port, keep=options.keep) as server:
        compared = compare(shell, url)
        stories, traffic = roll_out(shell, url)
    summary = build_summary(compared, traffic, stories, time.monotonic() - began)
    write_whole(OUT / "summary.json", summary.model_dump_json(indent=2) + "\n")
    write_whole(OUT / "report.html", render(summary))
    _say(f"done in {summary.took_s:.0f} s: {_short(OUT)}/report.html, {_short(OUT)}/summary.json\n")
    sys.stdout.write(
        (json.dumps(summary.model_dump(mode="json"), indent=2) if options.json else table(summary)) + "\n"
    )
    if options.keep:
        _say(_how_to_talk(url, server))
    return 1 if summary.faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight demo",
        description="Train a ResNet on handwritten digits, export lighter variants, serve them behind one "
        "endpoint and compare them under load. Then move all traffic to the best variant by evidence, and "
        "see a bad candidate stopped before it answers a client. Writes models/digits-demo, "
        "build/digits-demo and build/demo.",
        epilog="example: counterweight demo --keep",
    )
    parser.add_argument("--keep", action="store_true", help="leave the server running at the end")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of the table")
    return parser


def _pick_port() -> int:
    try:
        require_free("127.0.0.1", _PORT, "--port")
    except ServerFailed:
        return free_ports(1)[0]
    return _PORT


def _how_to_talk(url: str, pid: int) -> str:
    return "\n".join(
        [
            "",
            f"still serving on {url}, process {pid}",
            f"  the dashboard: {url}/",
            f"  its variants:  curl {url}/v2/models/digits-demo",
            f"  its rollouts:  counterweight rollout history digits-demo --url {url}",
            f"  more load:     counterweight loadtest run {url} --model digits-demo",
            f"  stop it:       kill {pid}",
        ]
    )


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
