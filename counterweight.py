"""The command line. It imports a room only when one of its commands is run."""

import importlib
import signal
import sys

# Command -> its function, and a summary.
COMMANDS = {
    "compress": ("export.compress.cli:compress", "build variants of a trained model without a recipe"),
    "export": ("export.cli:export", "build the variants of a recipe, and measure each one"),
    "search": ("export.search.cli:search", "find the lightest variant within a recipe's quality floor"),
    "add": ("export.adding.cli:add", "add a candidate from elsewhere to the repository"),
    "show": ("serve.tasks.show:show", "show a model's bundles side by side"),
    "serve": ("deployments.cli:serve", "serve a repository behind one endpoint, with a traffic split"),
    "routes": ("serve.control.cli.routes_command:routes", "show or change the traffic split of a model"),
    "rollout": ("serve.control.cli.rollout_command:rollout", "move traffic as far as the evidence allows"),
    "verify": (
        "serve.rollout.verify:verify",
        "check the seals and verdicts of a store of rollouts",
    ),
    "loadtest": ("loadtests.cli:loadtest", "measure the variants behind a URL: run, compare, capacity, soak"),
    "qualify": ("loadtests.qualify.cli:qualify", "test a variant by quality, capacity, shadow and canary"),
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
        # Shells start background jobs with SIGINT ignored; `kill -INT` should still end this process.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code: int = getattr(importlib.import_module(module), function)(rest)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # Our own errors have an exit code, and a message for people. Any other error is a bug.
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
        "Compress a trained model, serve it beside the original, and move traffic by evidence.\n\n"
        + "\n".join(lines)
        + "\n\nRun counterweight COMMAND --help for details.\nexample: counterweight demo\n"
    )


if __name__ == "__main__":
    sys.exit(main())
