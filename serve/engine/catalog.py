"""Catalog: which version of which variant is loaded, and how its model's traffic is split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import Field

from serve.base.errors import InvalidRequest
from serve.base.record import Record
from serve.base.routing import Routes
from serve.base.tensor import Signature
from serve.bundles.bundle import Name, Sha256
from serve.bundles.figures import Task
from serve.bundles.unserved import Unserved
from serve.counting.census import Watch

State = Literal["READY", "LOADING", "UNAVAILABLE"]


class LoadedVariant(Record):
    """One version of one variant, ready to be served."""

    # Of its bundle.
    digest: Sha256
    # A copy of the bundle that no export replaces.
    folder: str
    # The application that hosts it; None: it is loaded into the gateways.
    host: str | None
    # More rows than this in a run no longer pay.
    full_rows: Annotated[int, Field(ge=1)]
    # Whether nobody has measured it on held-out rows.
    unproven: bool = False


class LoadedModel(Record):
    """One model that is served."""

    name: Name
    signature: Signature
    # What its outputs are, and so how a shadow's are compared with them.
    task: Task
    routes: Routes
    # None: no rollout of it runs.
    watch: Watch | None = None
    variants: Mapping[str, LoadedVariant]
    # Variants that may not be served, and why.
    rejected: Mapping[str, str] = {}
    # Variants that could not be loaded, or were unloaded, and why.
    absent: Mapping[str, str] = {}

    @property
    def baseline(self) -> LoadedVariant:
        """The variant that the others are weighed against; without it no model is loaded."""
        return self.variants[self.routes.baseline]

    @property
    def unserved(self) -> Unserved:
        """Who asks for one of these variants hears why it is not served."""
        return Unserved(rejected=self.rejected, absent=self.absent)

    def without(self, variant: str) -> "LoadedModel":
        """The model without a variant; its routes are the caller's to mend. Raises InvalidRequest for the
        baseline."""
        if variant == self.routes.baseline:
            raise InvalidRequest(
                f"{variant!r} is the baseline of {self.name!r}, which others rely on; unload the whole model"
            )
        left = {name: loaded for name, loaded in self.variants.items() if name != variant}
        return self.model_copy(update={"variants": left})


class Catalog(Record):
    """Everything that is loaded. Gateways serve the one with the highest revision."""

    revision: Annotated[int, Field(ge=0)] = 0
    models: Mapping[str, LoadedModel] = {}

    def put(self, model: LoadedModel) -> "Catalog":
        """The next catalog: with this model, in the place of the one of its name."""
        return Catalog(revision=self.revision + 1, models={**self.models, model.name: model})

    def drop(self, name: str) -> "Catalog":
        """The next catalog: without the model of that name."""
        left = {key: model for key, model in self.models.items() if key != name}
        return Catalog(revision=self.revision + 1, models=left)


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """One variant in the repository, as the protocol's index tells it."""

    name: str
    # The variant.
    version: str
    state: State
    # Why it is not ready; empty when it is.
    reason: str


class Repository(Protocol):
    """What can be done with the repository of a running server."""

    async def index(self) -> list[IndexEntry]:
        """Every variant of every model in the repository, by name."""
        ...

    async def load(self, model: str, variant: str | None) -> None:
        """Load a variant, or every one of the model, as it stands on disk now; an older version of it
        answers until then. Raises UnknownModel, UnknownVariant, InvalidBundle or RejectedBundle."""
        ...

    async def unload(self, model: str, variant: str | None) -> None:
        """Stop serving a variant, or the whole model, once what it has taken is answered. Raises
        UnknownModel, UnknownVariant, or InvalidRequest for the baseline of a model that stays."""
        ...
