"""The variants of a model that are not served, and the error for a request that names one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from serve.base.errors import UnknownVariant, VariantUnavailable
from serve.base.record import nearest


@dataclass(frozen=True, kw_only=True)
class Unserved:
    """The reasons why variants are not served, by variant."""

    # Variants that do not meet the quality floor.
    rejected: Mapping[str, str] = field(default_factory=dict)
    # Variants that could not be loaded, or were unloaded.
    absent: Mapping[str, str] = field(default_factory=dict)
    # Variants that are loaded but not available in this gateway, which tries again.
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, str]:
        """All reasons, by variant."""
        return {**self.missing, **self.absent, **self.rejected}

    def require(self, model: str, variant: str, served: Collection[str]) -> None:
        """Raise UnknownVariant unless `variant` is in `served`, with the reason or with the most similar
        name. Raises VariantUnavailable if it is `missing`."""
        if variant in served:
            return
        if variant in self.missing:
            raise VariantUnavailable(
                f"variant {variant!r} of {model!r} is not available here: {self.missing[variant]}; "
                f"the server tries again, so ask later; served: {', '.join(served)}"
            )
        reason = self.absent.get(variant)
        if variant in self.rejected:
            reason = f"it was rejected: {self.rejected[variant]}"
        if reason is None:
            raise UnknownVariant(f"model {model!r} serves no variant {variant!r}; {nearest(variant, served)}")
        raise UnknownVariant(
            f"model {model!r} serves no variant {variant!r}: {reason}; served: {', '.join(served)}"
        )
