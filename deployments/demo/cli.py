"""The `demo` command."""

import argparse
import json
import sys
import time
from pathlib import Path

from deployments.ports import free_ports, require_free
from deployments.processes import stop_on_signals
from serve.base.errors import ServerFailed

_PORT = 8000


def demo(arguments: list[str]) -> int:
    """Exit code 0: the whole chain ran and every request was answered; 1: some were not."""
    options = _parser().parse_args(arguments)
    stop_on_signals()
    # Only now: matplotlib takes a second.
    from deployments.demo.chain import OUT, make_model, measure, served, write
    from deployments.demo.demo_page import render
    from deployments.demo.summary import table

    began = time.monotonic()
    make_model(_say)
    port = _pick_port()
    with served(port, _say, keep=options.keep) as server:
        summary = measure(port, _say)
        write(OUT / "summary.json", summary.model_dump_json(indent=2) + "\n")
        write(OUT / "report.html", render(summary))
    _say(f"done in {time.monotonic() - began:.0f} s: {_short(OUT)}/report.html, {_short(OUT)}/summary.json\n")
    sys.stdout.write((json.dumps(summary.model_dump(), indent=2) if options.json else table(summary)) + "\n")
    if options.keep:
        _say(_how_to_talk(port, server))
    return 1 if summary.split["errors"] or summary.pinned["errors"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight demo",
        description="Train a model on handwritten digits, export lighter variants, serve them behind one "
        "endpoint, load it, and print the variants side by side. Writes models/digits and build/demo.",
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


def _how_to_talk(port: int, pid: int) -> str:
    url = f"http://127.0.0.1:{port}"
    return "\n".join(
        [
            "",
            f"still serving on {url}, process {pid}",
            f"  who is there:  curl {url}/v2/models/digits",
            f"  the split:     curl {url}/control/models/digits",
            f"  more load:     counterweight loadtest run {url} --model digits",
            f"  stop it:       kill {pid}",
        ]
    )


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
