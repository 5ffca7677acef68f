"""What the numbers of an output mean, as a bundle records it."""

from typing import Annotated, Literal

from pydantic import Field

from serve.base.record import Record

Task = Literal["classification", "token_classification", "embedding", "regression"]
# How two answers of an output are compared.
Kind = Literal["classes", "vectors", "numbers", "exact"]
Form = Literal["unknown", "plain", "shares", "log_shares", "chances", "unit"]


class Meaning(Record):
    """What the numbers of one output mean, derived from the baseline's answers to the held-out rows; it
    decides when two answers differ (serve/tasks/compare_outputs.py)."""

    # `classes`: scores, the highest one is the class; `vectors`: embeddings; `numbers`: independent numbers;
    # `exact`: integers and strings.
    kind: Kind
    # `shares` sum to one, `log_shares` are their logarithms, `chances` lie in 0..1 independently, `unit` are
    # vectors of length 1, `plain` is none of these. `unknown`: the bundle is older than this field.
    form: Form = "unknown"
    # The standard deviation over the rows: one value per place of the last dimension, or one for all. Set for
    # numbers, and for scores that may be numbers because the recipe does not call them classes.
    spread: tuple[Annotated[float, Field(ge=0)], ...] = ()
    # The mean over the rows of embeddings that share most of their direction, which is subtracted from both
    # before they are compared. Empty if they share little, or in older bundles.
    centre: tuple[float, ...] = ()
