"""The folder of models, `models/<model>/<variant>/`, with one bundle each."""

from collections.abc import Mapping
from pathlib import Path

from serve.base.errors import InvalidBundle, RejectedBundle, UnknownModel, UnknownVariant
from serve.base.record import Record, nearest
from serve.base.tensor import Signature
from serve.bundles.bundle import Bundle, read_bundle


class StoredModel(Record):
    """One model of the repository with all its bundles, including rejected ones. The baseline comes first,
    then the other variants in the order of the recipe, then variants of no recipe, by name."""

    name: str
    folder: Path
    baseline: str
    bundles: Mapping[str, Bundle]

    @property
    def servable(self) -> dict[str, Bundle]:
        """The bundles that meet their floor, the baseline first."""
        return {name: bundle for name, bundle in self.bundles.items() if bundle.rejected is None}

    @property
    def rejected(self) -> dict[str, str]:
        """The variants that do not meet their floor, with the reasons."""
        return {name: bundle.rejected for name, bundle in self.bundles.items() if bundle.rejected is not None}

    @property
    def signature(self) -> Signature:
        """The inputs and outputs, which are the same for all variants."""
        return self.bundles[self.baseline].signature

    def require_servable(self, variant: str) -> None:
        """Raise UnknownVariant or RejectedBundle unless `variant` may get traffic."""
        if variant not in self.bundles:
            hint = nearest(variant, self.servable)
            raise UnknownVariant(f"model {self.name!r} has no variant {variant!r}; {hint}")
        if reason := self.bundles[variant].rejected:
            raise RejectedBundle(f"variant {variant!r} of {self.name!r} was rejected: {reason}")

    def require_proven(self) -> None:
        """Raise RejectedBundle if a variant that may be served was measured on random rows only."""
        random = [name for name, bundle in self.servable.items() if bundle.random_rows]
        if random:
            raise RejectedBundle(
                f"{', '.join(random)} of {self.name!r} was measured on random rows only, so nothing is known "
                "of the quality: export it with data (counterweight compress MODEL --inputs FILE), or start "
                "the server with --unproven"
            )


def read_repository(folder: Path) -> dict[str, StoredModel]:
    """Read every model in `folder`. Raises InvalidBundle if there is none, or one is not valid."""
    if not folder.is_dir():
        raise InvalidBundle(
            f"{folder} is not a folder; export a recipe into it first: counterweight export --help"
        )
    models = {path.name: read_model(path) for path in _visible_folders(folder)}
    if not models:
        raise InvalidBundle(
            f"{folder} has no models; export a recipe into it first: counterweight export --help"
        )
    return models


def list_models(folder: Path) -> list[str]:
    """The names of the models in `folder`, valid or not."""
    return [path.name for path in _visible_folders(folder)]


def read_model(folder: Path) -> StoredModel:
    """Read the model in `folder` and check its bundles against each other. Raises InvalidBundle,
    UnknownModel."""
    bundles = {path.name: read_bundle(path) for path in _visible_folders(folder)}
    if not bundles:
        raise UnknownModel(
            f"{folder} has no bundles; export a recipe into it first: counterweight export --help"
        )
    baselines = {bundle.baseline for bundle in bundles.values()}
    baseline = min(baselines)
    if len(baselines) > 1 or baseline not in bundles:
        raise InvalidBundle(
            f"{folder}: its bundles name {' and '.join(sorted(baselines))} as the baseline, but exactly one "
            "of the bundles must be the baseline; export the recipe again, or remove outdated variants"
        )
    for name, bundle in bundles.items():
        if (bundle.model, bundle.variant) != (folder.name, name):
            raise InvalidBundle(
                f"{folder / name} says it is {bundle.model}/{bundle.variant}: a bundle's folder must have "
                "the name of its variant; move it back"
            )
        if bundle.signature != bundles[baseline].signature:
            raise InvalidBundle(
                f"{folder / name} has another signature than the baseline {baseline}: "
                "all variants of a model must have the same one; export it again, or remove that folder"
            )
    names = sorted(bundles, key=lambda name: _place(bundles[name]))
    ordered = {name: bundles[name] for name in names}
    return StoredModel(name=folder.name, folder=folder, baseline=baseline, bundles=ordered)


def _place(bundle: Bundle) -> tuple[bool, bool, int, str]:
    position = bundle.position
    return bundle.variant != bundle.baseline, position is None, position or 0, bundle.variant


def _visible_folders(folder: Path) -> list[Path]:
    # Hidden folders are bundles that are being written.
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
