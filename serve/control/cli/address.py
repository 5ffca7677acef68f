"""Address: which server a command asks, and with what token."""

import argparse
import os
from pathlib import Path

from serve.base.errors import InvalidRecord
from serve.control.cli.control_client import ControlClient

_DEFAULT = "http://127.0.0.1:8000"


def address_options() -> argparse.ArgumentParser:
    """The options of every command that asks a server, as a parent of its parser."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--url", help=f"the server's; default: COUNTERWEIGHT_URL, or {_DEFAULT}")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds the token that the server asks for; default: COUNTERWEIGHT_TOKEN, which is the token",
    )
    return parser


def open_client(options: argparse.Namespace) -> ControlClient:
    """The server that `options`, or else the environment, names. Raises InvalidRecord."""
    url = options.url or os.environ.get("COUNTERWEIGHT_URL") or _DEFAULT
    if options.token_file is not None:
        return ControlClient(url, _checked(_read(options.token_file), str(options.token_file)))
    token = os.environ.get("COUNTERWEIGHT_TOKEN")
    return ControlClient(url, _checked(token, "COUNTERWEIGHT_TOKEN") if token else None)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise InvalidRecord(
            f"{path}: {error.strerror}; give --token-file a file with a token in it"
        ) from None
    except UnicodeDecodeError:
        return ""


def _checked(token: str, source: str) -> str:
    """The token as a header can carry it; the message never says it. Raises InvalidRecord."""
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise InvalidRecord(f"{source} holds no token; one is a word in ASCII, on one line, and nothing else")
    return token
