"""Recognizes variants that were loaded while a load test ran."""

from collections.abc import Callable

from gevent.lock import Semaphore
from pydantic import ValidationError

from loadtests.sending.model_metadata import ModelMetadata


class Newcomers:
    """Variants that answered and did not exist at the start; the server is asked once about each."""

    def __init__(self) -> None:
        self._loaded: set[str] = set()
        self._unknown: set[str] = set()
        # Many requests may get an answer of the same new variant at once.
        self._asking = Semaphore()

    def has(self, variant: str, ask: Callable[[], bytes]) -> bool:
        """Return whether the server now has the variant; `ask` returns the server's current metadata of the
        model."""
        with self._asking:
            if variant not in self._loaded | self._unknown:
                known = variant in _versions_in(ask())
                (self._loaded if known else self._unknown).add(variant)
            return variant in self._loaded

    def joined(self, metadata: ModelMetadata) -> ModelMetadata:
        """Return the metadata with the new variants added."""
        versions = (*metadata.versions, *sorted(self._loaded - set(metadata.versions)))
        return metadata.model_copy(update={"versions": versions})


def _versions_in(content: bytes) -> tuple[str, ...]:
    try:
        return ModelMetadata.model_validate_json(content).versions
    except ValidationError:
        return ()
