"""Defines the options of all commands that ask a server: `--url` and `--token-file`."""

import argparse
import os
from pathlib import Path

from serve.base.errors import InvalidRecord

_DEFAULT = "http://127.0.0.1:8000"


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add `--url`; see `find_url`."""
    parser.add_argument("--url", help=f"the server's address (default: COUNTERWEIGHT_URL, or {_DEFAULT})")


def add_token(parser: argparse.ArgumentParser) -> None:
    """Add `--token-file`; see `read_token`."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the server's token (default: the token in COUNTERWEIGHT_TOKEN)",
    )


def find_url(options: argparse.Namespace) -> str:
    """Return the URL from the command line, or else from COUNTERWEIGHT_URL, or else the default."""
    return str(options.url or os.environ.get("COUNTERWEIGHT_URL") or _DEFAULT)


def read_token(path: Path | None) -> str | None:
    """Return the token in the file, or else in COUNTERWEIGHT_TOKEN; None if there is none.

    Raises InvalidRecord, whose message never contains the token."""
    if path is None:
        token, source = os.environ.get("COUNTERWEIGHT_TOKEN"), "COUNTERWEIGHT_TOKEN"
        if not token:
            return None
    else:
        token, source = _read(path), str(path)
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise InvalidRecord(f"{source} does not contain a token; expected one line with a single ASCII word")
    return token


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise InvalidRecord(
            f"{path}: {error.strerror}; give --token-file a file that contains a token"
        ) from None
    except UnicodeDecodeError:
        return ""
