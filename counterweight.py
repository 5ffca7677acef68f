"""The front door: one command, which opens a room only when asked."""

import importlib
import signal
import sys

# Command -> the function that owns it, and what it does in a line.
COMMANDS = {
    "export": ("export.cli:export", "make the variants of a recipe, each with its proof"),
    "add": ("export.adding.cli:add", "put a candidate from elsewhere into the repository"),
    "show": ("serve.bundles.show:show", "show a model's bundles side by side"),
    "serve": ("deployments.cli:serve", "serve a repository behind one endpoint, traffic split by weights"),
    "routes": ("serve.control.cli.routes_command:routes", "show or change how a server splits traffic"),
    "rollout": ("serve.control.cli.rollout_command:rollout", "move traffic while the evidence allows it"),
    "verify": (
        "serve.rollout.verify:verify",
        "check a store of rollouts against its seals",
    ),
    "loadtest": ("loadtests.cli:loadtest", "measure the variants behind a URL: run, compare, capacity, soak"),
    "qualify": ("loadtests.qualify.cli:qualify", "weigh a variant by quality, capacity, shadow and canary"),
    "demo": ("deployments.demo.cli:demo", "the whole chain on handwritten digits, in a few minutes"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Exit code: the command's own; 2 for bad input; 130 after Ctrl-C."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if name not in COMMANDS:
        sys.stderr.write(f"counterweight: no command {name!r}\n\n{_help()}")
        return 2
    module, function = COMMANDS[name][0].split(":")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that starts us in the background means the Ctrl-C for others; `kill -INT` is meant for us.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code: int = getattr(importlib.import_module(module), function)(rest)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # An error with an exit code is one of ours: its message is for people. Any other is a bug.
        exit_code: int | None = getattr(error, "exit_code", None)
        if exit_code is None:
            raise
        sys.stderr.write(f"counterweight: {error}\n")
        return exit_code
    return code


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return (
        "usage: counterweight COMMAND [...]\n\n"
        "Compress a trained model, serve it beside the one you trust, and move traffic only on evidence.\n\n"
        + "\n".join(lines)
        + "\n\ncounterweight COMMAND --help says more.\nexample: counterweight demo\n"
    )


if __name__ == "__main__":
    sys.exit(main())
