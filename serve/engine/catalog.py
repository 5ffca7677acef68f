"""The catalog: which version of each variant is loaded, and how the traffic of each model is split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import Field

from serve.base.errors import InvalidRequest
from serve.base.record import Record
from serve.base.routing import Routes
from serve.base.tensor import Signature
from serve.bundles.bundle import Name, Sha256
from serve.bundles.meaning import Task
from serve.bundles.unserved import Unserved
from serve.counting.rollout_counter import Watch

State = Literal["READY", "LOADING", "UNAVAILABLE"]


class LoadedVariant(Record):
    """One loaded version of one variant."""

    # The digest of its bundle.
    digest: Sha256
    # A copy of the bundle, which later exports do not change.
    folder: str
    # The Ray application that hosts it; None: it is loaded into the gateways.
    host: str | None
    # Beyond this many rows, a larger run does not reduce the cost per row.
    full_rows: Annotated[int, Field(ge=1)]
    # Whether it has not been measured on held-out rows.
    unproven: bool = False


class LoadedModel(Record):
    """One served model."""

    name: Name
    signature: Signature
    # The task, which decides how the outputs of a shadow are compared.
    task: Task
    routes: Routes
    # None: the model has no rollout.
    watch: Watch | None = None
    variants: Mapping[str, LoadedVariant]
    # Variants that were rejected -> the reason.
    rejected: Mapping[str, str] = {}
    # Variants that could not be loaded, or were unloaded -> the reason.
    absent: Mapping[str, str] = {}

    @property
    def baseline(self) -> LoadedVariant:
        """The baseline, which every loaded model has."""
        return self.variants[self.routes.baseline]

    @property
    def unserved(self) -> Unserved:
        """The reasons for the variants that are not served."""
        return Unserved(rejected=self.rejected, absent=self.absent)

    def without(self, variant: str) -> "LoadedModel":
        """The model without a variant. The caller must adapt the routes. Raises InvalidRequest for the
        baseline."""
        if variant == self.routes.baseline:
            raise InvalidRequest(
                f"{variant!r} is the baseline of {self.name!r}, which the others need; unload the whole model"
            )
        left = {name: loaded for name, loaded in self.variants.items() if name != variant}
        return self.model_copy(update={"variants": left})


class Catalog(Record):
    """All loaded models. Gateways serve the catalog with the highest revision."""

    revision: Annotated[int, Field(ge=0)] = 0
    models: Mapping[str, LoadedModel] = {}

    def put(self, model: LoadedModel) -> "Catalog":
        """The next catalog, in which this model replaces the one with its name."""
        return Catalog(revision=self.revision + 1, models={**self.models, model.name: model})

    def drop(self, name: str) -> "Catalog":
        """The next catalog, without the model of that name."""
        left = {key: model for key, model in self.models.items() if key != name}
        return Catalog(revision=self.revision + 1, models=left)


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """One variant in the repository, as in the protocol's index."""

    name: str
    """The model."""
    version: str
    """The variant."""
    state: State
    reason: str
    """Why it is not ready; empty if it is."""


class Repository(Protocol):
    """Operations on the repository of a running server."""

    async def index(self) -> list[IndexEntry]:
        """Every variant of every model in the repository, by name."""
        ...

    async def load(self, model: str, variant: str | None) -> None:
        """Load a variant, or every variant of the model, from its present files; the old version answers
        until then. Raises UnknownModel, UnknownVariant, InvalidBundle or RejectedBundle."""
        ...

    async def unload(self, model: str, variant: str | None) -> None:
        """Stop serving a variant, or the whole model, after the accepted requests are answered. Raises
        UnknownModel, UnknownVariant, or InvalidRequest for the baseline of a model that stays loaded."""
        ...
