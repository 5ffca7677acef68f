"""Address: which server a command asks, and with what token."""

import argparse

from serve.base.server_address import add_token, add_url, find_url, read_token
from serve.control.cli.control_client import ControlClient


def address_options() -> argparse.ArgumentParser:
    """The options of every command that asks a server, as a parent of its parser."""
    parser = argparse.ArgumentParser(add_help=False)
    add_url(parser)
    add_token(parser)
    return parser


def open_client(options: argparse.Namespace) -> ControlClient:
    """The server that `options`, or else the environment, names. Raises InvalidRecord."""
    return ControlClient(find_url(options), read_token(options.token_file))
