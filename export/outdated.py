"""Rejects bundles that were compared with another baseline than the one in their folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from serve.base.errors import InvalidBundle
from serve.bundles.bundle import MODEL, WEIGHTS, Bundle, read_bundle, write_manifest

OUTDATED = (
    "it was made from another trained model, data, task, rules or floor than the baseline in this folder; "
    "export it again, or remove its folder and add it again"
)


def reject_outdated(home: Path, baseline: Bundle) -> bool:
    """Reject each bundle in `home` that does not belong to `baseline`, which is there or replaces the one
    there. Returns whether a bundle was rejected."""
    bundles = dict(_read(home))
    before = bundles.pop(baseline.variant, None)
    replaced = before is not None and _facts(before) != _facts(baseline)
    outdated = [
        bundle
        for bundle in bundles.values()
        if bundle.rejected is None and (replaced or not _belongs(bundle, baseline, before))
    ]
    for bundle in outdated:
        write_manifest(home / bundle.variant, bundle.model_copy(update={"rejected": OUTDATED}))
    return bool(outdated)


def added(bundle: Bundle) -> bool:
    """Whether `counterweight add` wrote the bundle, so that no recipe makes it."""
    return bundle.unproven or "added" in bundle.provenance.source


def _read(home: Path) -> Iterator[tuple[str, Bundle]]:
    for folder in sorted(home.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            with contextlib.suppress(InvalidBundle):  # an export may still replace it
                yield folder.name, read_bundle(folder)


def _belongs(bundle: Bundle, baseline: Bundle, before: Bundle | None) -> bool:
    if added(bundle):  # its provenance does not say with which baseline it was compared
        return before is not None
    return _origin(bundle) == _origin(baseline)


def _facts(bundle: Bundle) -> tuple[object, ...]:
    # The graph shows what the origin does not: a factory with other code or arguments.
    graph = tuple(file.sha256 for file in bundle.files if file.path in (MODEL, WEIGHTS))
    return graph, *_origin(bundle)


def _origin(bundle: Bundle) -> tuple[object, ...]:
    made = bundle.provenance
    return made.trained_sha256, made.data, made.task, made.rules, made.floor, made.metric
