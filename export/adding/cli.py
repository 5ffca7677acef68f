"""Runs the `counterweight add` command."""

import argparse
import sys
from pathlib import Path

_UNPROVEN = {
    "together": "unproven: it was not measured",
    "alone": "unproven: it was not measured, and each row is run by itself, because nothing shows that the "
    "rows of a batch do not affect each other; --recipe measures both",
}


def add(arguments: list[str]) -> int:
    """Run the command. The exit code is 0, or 1 if the recipe's floor rejected the candidate. Raises
    CounterweightError."""
    options = _read_options(arguments)

    # These imports are slow, and --help does not need them.
    from export.adding.add import add_unproven
    from serve.base.errors import InvalidRecord, UnknownModel
    from serve.base.record import nearest
    from serve.bundles.bundle import read_bundle
    from serve.bundles.repository import list_models, read_model

    known = list_models(options.out) if options.out.is_dir() else []
    if options.model not in known:
        raise UnknownModel(f"no model {options.model!r} in {options.out}; {nearest(options.model, known)}")
    if options.recipe is None:
        bundle = add_unproven(read_model(options.out / options.model), options.variant, options.source)
    else:
        from export.recipe import load_recipe
        from export.sandbox.isolation import prove_in_sandbox

        if (named := load_recipe(options.recipe).model) != options.model:
            raise InvalidRecord(
                f"{options.recipe} is the recipe of {named!r}; give that of {options.model!r}"
            )
        bundle = read_bundle(prove_in_sandbox(options.recipe, options.out, options.variant, options.source))
    place = f"{options.out / bundle.model / bundle.variant}"
    verdict = bundle.rejected and f"rejected: {bundle.rejected}"
    verdict = verdict or (_UNPROVEN[bundle.rows] if bundle.unproven else "accepted by the floor")
    sys.stdout.write(f"{place}: {verdict}\n")
    return 1 if bundle.rejected else 0


def _read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="counterweight add",
        description="Add a model from another source as a variant of a model in the repository: a retrained "
        "network, an ONNX file, or a bundle. Its inputs and outputs must equal the "
        "baseline's. With the model's recipe, it is measured on the held-out rows and judged by the floor, "
        "as in an export; without a recipe, it is marked unproven, and a rollout to it must not skip the "
        "shadow.",
        epilog="example: counterweight add digits --variant retrained --from digits-2.onnx "
        "--recipe export/recipes/digits.yaml",
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--variant", required=True, metavar="NAME", help="the name of the new variant")
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        type=Path,
        metavar="FILE|BUNDLE",
        help="an ONNX file, or the folder of a bundle",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="RECIPE.yaml",
        help="the model's recipe, whose data measures the candidate",
    )
    parser.add_argument("--out", type=Path, default=Path("models"), help="the repository (default: models)")
    return parser.parse_args(arguments)
