"""The options for the server's URL and token, shared by all commands that use a server."""

import argparse

from serve.base.server_address import add_token, add_url, find_url, read_token
from serve.control.cli.control_client import ControlClient


def address_options() -> argparse.ArgumentParser:
    """A parent parser with the options of every command that uses a server."""
    parser = argparse.ArgumentParser(add_help=False)
    add_url(parser)
    add_token(parser)
    return parser


def open_client(options: argparse.Namespace) -> ControlClient:
    """A client for the server in `options` or in the environment. Raises InvalidRecord."""
    return ControlClient(find_url(options), read_token(options.token_file))
