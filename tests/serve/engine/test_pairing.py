"""Answers to several requests are compared as rows."""

from typing import Any

import numpy as np

from serve.base.tensor import Signature, TensorSpec
from serve.bundles.meaning import Meaning
from serve.engine.pairing import pair
from serve.engine.shadow_copy import Copy

BOX, OTHER = [0, 0, 10, 10, 0.9, 1], [40, 40, 50, 50, 0.8, 0]


def answer(*boxes: Any) -> dict[str, Any]:
    """The output of one row with this many boxes."""
    return {"y": np.array([boxes], np.float32).reshape(1, len(boxes), 6)}


def test_answers_may_have_different_numbers_of_boxes() -> None:
    """Each row is compared with its own, whatever the others have."""
    spec = TensorSpec(name="y", datatype="FP32", shape=("batch", "boxes", 6))
    signature = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", 1)),), outputs=(spec,)
    )
    baseline = [answer(BOX, OTHER), answer(BOX), answer(), answer(BOX)]
    candidate = [answer(OTHER, BOX), answer(BOX, OTHER), answer(), answer()]
    copies = [Copy({}, outputs, 1, "id", None) for outputs in baseline]
    meaning = Meaning(kind="boxes", layout="final", box="xyxy", activation="none")
    found = pair(copies, candidate, signature, "detection", {"y": meaning}).outputs["y"]
    assert found.differ.tolist() == [False, True, False, True]
