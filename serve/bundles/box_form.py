"""How the numbers of an output say where boxes are, and of which class."""

from typing import Annotated, Literal

from pydantic import Field

from serve.base.record import Record

BoxLayout = Literal["scores", "objectness", "final"]
BoxCorners = Literal["xyxy", "yxyx", "cxcywh", "xywh"]
Activation = Literal["none", "sigmoid", "softmax"]
Fraction = Annotated[float, Field(ge=0, le=1)]


class BoxForm(Record):
    """The parameters of a rule of the kind `boxes`. None: read from the baseline's answers
    (export/proof/box_reading.py)."""

    # The numbers of one box after its 4 coordinates: `scores`: a score for each class; `objectness`: a
    # factor of all scores, and the score for each class; `final`: one score and the number of the class.
    layout: BoxLayout | None = None
    # The 4 coordinates: two corners, or the centre (`cxcywh`) or first corner (`xywh`) with width and height.
    box: BoxCorners | None = None
    # The outputs with the scores, [batch, boxes] or [batch, boxes, classes], and with the classes,
    # [batch, boxes], if this output holds the 4 coordinates only.
    scores: str | None = None
    classes: str | None = None
    # What turns the scores into chances.
    activation: Activation | None = None
    # The class that stands for no object; a negative number counts from the last.
    background: int | None = None
    # A box with a lower score is no detection.
    least_score: Fraction | None = None
    # Two boxes are the same if they overlap at least this much (intersection over union).
    iou: Fraction | None = None
    # Of two boxes of a class that overlap more than this, the one with the lower score is dropped.
    nms: Fraction | None = None
