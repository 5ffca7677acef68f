"""Unserved: the variants of a model that are not served, and what is said to whoever asks for one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from serve.base.errors import UnknownVariant, VariantUnavailable
from serve.base.record import nearest


@dataclass(frozen=True, kw_only=True)
class Unserved:
    """By variant, why it is not served."""

    # Those that the floor refused.
    rejected: Mapping[str, str] = field(default_factory=dict)
    # Those that could not be loaded, or were unloaded.
    absent: Mapping[str, str] = field(default_factory=dict)
    # Those that are loaded and cannot be had in this gateway, which tries again.
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, str]:
        """All of them."""
        return {**self.missing, **self.absent, **self.rejected}

    def require(self, model: str, variant: str, served: Collection[str]) -> None:
        """Raise UnknownVariant unless `variant` is among `served`: with the reason why it is not, or else
        with the name that was probably meant. Raises VariantUnavailable for one that is `missing`."""
        if variant in served:
            return
        if variant in self.missing:
            raise VariantUnavailable(
                f"variant {variant!r} of {model!r} cannot be had here: {self.missing[variant]}; it is tried "
                f"again, so ask later; served: {', '.join(served)}"
            )
        reason = self.absent.get(variant)
        if variant in self.rejected:
            reason = f"it was rejected: {self.rejected[variant]}"
        if reason is None:
            raise UnknownVariant(f"model {model!r} serves no variant {variant!r}; {nearest(variant, served)}")
        raise UnknownVariant(
            f"model {model!r} serves no variant {variant!r}: {reason}; served: {', '.join(served)}"
        )
