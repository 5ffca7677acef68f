"""Repository: the folder of models, `models/<model>/<variant>/`, one bundle each."""

from collections.abc import Mapping
from pathlib import Path

from serve.base.errors import InvalidBundle, RejectedBundle, UnknownModel, UnknownVariant
from serve.base.record import Record, nearest
from serve.base.tensor import Signature
from serve.bundles.bundle import Bundle, read_bundle


class StoredModel(Record):
    """One model of the repository: all its bundles, the rejected ones too. The baseline comes first, then the
    other variants in the recipe's order, then those that no recipe has, by name."""

    name: str
    folder: Path
    baseline: str
    bundles: Mapping[str, Bundle]

    @property
    def servable(self) -> dict[str, Bundle]:
        """The bundles that passed their floor, the baseline first."""
        return {name: bundle for name, bundle in self.bundles.items() if bundle.rejected is None}

    @property
    def rejected(self) -> dict[str, str]:
        """The variants that did not pass, and why."""
        return {name: bundle.rejected for name, bundle in self.bundles.items() if bundle.rejected is not None}

    @property
    def signature(self) -> Signature:
        """The inputs and outputs that all variants share."""
        return self.bundles[self.baseline].signature

    def require_servable(self, variant: str) -> None:
        """Raise UnknownVariant or RejectedBundle unless `variant` may get traffic."""
        if variant not in self.bundles:
            hint = nearest(variant, self.servable)
            raise UnknownVariant(f"model {self.name!r} has no variant {variant!r}; {hint}")
        if reason := self.bundles[variant].rejected:
            raise RejectedBundle(f"variant {variant!r} of {self.name!r} was rejected: {reason}")


def read_repository(folder: Path) -> dict[str, StoredModel]:
    """Every model in `folder`. Raises InvalidBundle when there is none, or one is unsound."""
    if not folder.is_dir():
        raise InvalidBundle(
            f"{folder} is no folder; export a recipe into it first: counterweight export --help"
        )
    models = {path.name: read_model(path) for path in _visible_folders(folder)}
    if not models:
        raise InvalidBundle(
            f"{folder} holds no model; export a recipe into it first: counterweight export --help"
        )
    return models


def list_models(folder: Path) -> list[str]:
    """The names of the models in `folder`, sound or not."""
    return [path.name for path in _visible_folders(folder)]


def read_model(folder: Path) -> StoredModel:
    """The model in `folder`, its bundles checked against one another. Raises InvalidBundle, UnknownModel."""
    bundles = {path.name: read_bundle(path) for path in _visible_folders(folder)}
    if not bundles:
        raise UnknownModel(
            f"{folder} holds no bundle; export a recipe into it first: counterweight export --help"
        )
    baselines = {bundle.baseline for bundle in bundles.values()}
    baseline = min(baselines)
    if len(baselines) > 1 or baseline not in bundles:
        raise InvalidBundle(
            f"{folder}: its bundles name {' and '.join(sorted(baselines))} as the baseline; "
            "exactly one, and present, is needed: export the recipe again, or remove what it no longer makes"
        )
    for name, bundle in bundles.items():
        if (bundle.model, bundle.variant) != (folder.name, name):
            raise InvalidBundle(
                f"{folder / name} says it is {bundle.model}/{bundle.variant}: "
                "a bundle's folder carries its name; move it back"
            )
        if bundle.signature != bundles[baseline].signature:
            raise InvalidBundle(
                f"{folder / name} has another signature than the baseline {baseline}: "
                "variants of one model must be interchangeable; export it again, or remove that folder"
            )
    names = sorted(bundles, key=lambda name: _place(bundles[name]))
    ordered = {name: bundles[name] for name in names}
    return StoredModel(name=folder.name, folder=folder, baseline=baseline, bundles=ordered)


def _place(bundle: Bundle) -> tuple[bool, bool, int, str]:
    position = bundle.position
    return bundle.variant != bundle.baseline, position is None, position or 0, bundle.variant


def _visible_folders(folder: Path) -> list[Path]:
    # Hidden folders are bundles still being written.
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
