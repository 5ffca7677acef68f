"""The plan of a server: what it serves, checked against the repository before anything is started."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from serve.base.access import Access, Grant, is_loopback
from serve.base.errors import InvalidRecord, UnknownModel
from serve.base.record import Record, nearest
from serve.base.routing import Routes, parse_weights
from serve.base.settings import Settings
from serve.bundles.repository import StoredModel, read_repository

Where = Literal["apart", "together"]
Port = Annotated[int, Field(ge=1, le=65535)]
_EVERY = "*"
# The address on this machine of a server that listens on all interfaces.
_ITSELF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the reverse


class ServerPlan(Record):
    """The repository, the placement of its variants, and the initial split of traffic."""

    repository: Path
    # Model -> weights of its variants; other models send everything to their baseline.
    weights: Mapping[str, Mapping[str, float]]
    # Model -> placement of its variants; `*` stands for all other models.
    placements: Mapping[str, Where]
    host: str
    port: Port
    grpc_port: Port
    # The number of gateways, and of replicas per variant in placement `apart`.
    gateways: Annotated[int, Field(ge=1)] = 1
    replicas: Annotated[int, Field(ge=1)] = 1
    access_log: Path | None = None
    # Whether variants may be served that were measured on random rows only.
    unproven: bool = False
    # The roles of the tokens, without the tokens; None: there are none.
    grants: tuple[Grant, ...] | None = None
    # The URL of the store.
    store: str
    # The file of the seal key; None: beside a SQLite store.
    seal_key: Path | None = None
    settings: Settings = Settings()

    @property
    def url(self) -> str:
        """The server's URL for clients."""
        return self._url_of(self.host)

    @property
    def local_url(self) -> str:
        """The server's URL on this machine."""
        return self._url_of(_ITSELF.get(self.host, self.host))

    @property
    def access(self) -> Access:
        """The access rules."""
        return Access(grants=self.grants, loopback=is_loopback(self.host))

    def _url_of(self, host: str) -> str:
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def placement_of(self, model: str) -> Where:
        """The placement of a model's variants."""
        return self.placements.get(model, self.placements[_EVERY])

    def processes_of(self, model: str) -> int:
        """The number of processes that run each of its variants."""
        return self.replicas if self.placement_of(model) == "apart" else self.gateways

    def read(self) -> tuple[StoredModel, ...]:
        """Read every model of the repository, and check the models and variants that the plan names.

        Raises InvalidBundle, UnknownModel, UnknownVariant or RejectedBundle."""
        models = read_repository(self.repository)
        for model in models.values():
            # Without a baseline, nothing of the model can be served.
            model.require_servable(model.baseline)
            self.require_proven(model)
        for name, weights in self.weights.items():
            _require(name, models, "--weights")
            for variant in weights:
                models[name].require_servable(variant)
        for name in self.placements:
            if name != _EVERY:
                _require(name, models, "--placement")
        return tuple(models.values())

    def require_proven(self, model: StoredModel) -> None:
        """Raise RejectedBundle for a model that was exported with random rows, unless the plan allows it."""
        if not self.unproven:
            model.require_proven()

    def routes_of(self, model: StoredModel) -> Routes:
        """The initial routes of a model. Raises InvalidRecord."""
        weights = self.weights.get(model.name, {model.baseline: 100.0})
        fields = {"model": model.name, "baseline": model.baseline, "weights": weights}
        return Routes.parse(fields, f"--weights for {model.name}")


def parse_all_weights(texts: list[str]) -> dict[str, dict[str, float]]:
    """Parse `MODEL:VARIANT=WEIGHT,...` of several models. Raises InvalidRecord."""
    weights: dict[str, dict[str, float]] = {}
    for text in texts:
        name, shares = parse_weights(text)
        if name in weights:
            raise InvalidRecord(f"--weights names model {name!r} twice; put all its variants into one option")
        weights[name] = shares
    return weights


def parse_placements(texts: list[str]) -> dict[str, str]:
    """Parse `PLACEMENT` for all models and `MODEL=PLACEMENT` for one."""
    placements = {_EVERY: "apart"}
    for text in texts:
        name, equals, where = text.rpartition("=")
        placements[name if equals else _EVERY] = where
    return placements


def _require(name: str, models: Mapping[str, StoredModel], option: str) -> None:
    if name not in models:
        raise UnknownModel(f"{option}: no model {name!r} in the repository; {nearest(name, models)}")
