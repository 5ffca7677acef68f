"""Plan: what a server is to serve, checked against the repository before anything is started."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from serve.errors import InvalidRecord, UnknownModel
from serve.record import Record, nearest
from serve.repository import StoredModel, read_repository
from serve.routing import Routes, parse_weights


class Plan(Record):
    """Which models are served where, and how their traffic is split."""

    models: tuple[StoredModel, ...]
    # One for each model, in the same order.
    routes: tuple[Routes, ...]
    # Sessions in the gateway; otherwise each variant gets a deployment of its own (apart).
    together: bool
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]

    @property
    def url(self) -> str:
        """Where clients find the server."""
        return f"http://{self.host}:{self.port}"


def plan_routes(repository: Path, weights: list[str]) -> tuple[tuple[StoredModel, ...], tuple[Routes, ...]]:
    """Every model of `repository` and its routes; one that `weights` leaves out gives all to its baseline.

    Raises InvalidBundle, UnknownModel, UnknownVariant, RejectedBundle or InvalidRecord."""
    models = read_repository(repository.resolve())
    asked: dict[str, dict[str, float]] = {}
    for text in weights:
        name, shares = parse_weights(text)
        if name not in models:
            raise UnknownModel(
                f"--weights {text}: no model {name!r} in {repository}; {nearest(name, models)}"
            )
        if name in asked:
            raise InvalidRecord(f"--weights names model {name!r} twice; put all its variants into one")
        asked[name] = shares
    routes = []
    for name, model in models.items():
        shares = asked.get(name, {model.baseline: 100.0})
        for variant in shares:
            model.require_servable(variant)
        fields = {"model": name, "baseline": model.baseline, "weights": shares}
        routes.append(Routes.parse(fields, f"--weights for {name}"))
    return tuple(models.values()), tuple(routes)
