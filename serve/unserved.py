"""Unserved: what is said of a variant that somebody asks for and that is not served."""

from collections.abc import Collection, Mapping

from serve.errors import UnknownVariant
from serve.record import nearest


def require_served(model: str, variant: str, served: Collection[str], rejected: Mapping[str, str]) -> None:
    """Raise UnknownVariant unless `variant` is among `served`: with the reason where it was `rejected`, or
    else with the name that was probably meant."""
    if variant in served:
        return
    if variant in rejected:
        raise UnknownVariant(
            f"model {model!r} serves no variant {variant!r}: it was rejected: {rejected[variant]}; "
            f"served: {', '.join(served)}"
        )
    raise UnknownVariant(f"model {model!r} serves no variant {variant!r}; {nearest(variant, served)}")
