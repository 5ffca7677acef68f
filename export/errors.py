"""What can go wrong on the way from a trained model to a bundle."""

from serve.errors import CounterweightError


class InvalidSource(CounterweightError):
    """The model's factory or checkpoint is not what the recipe says."""


class InvalidData(CounterweightError):
    """The data that the recipe names cannot prove anything."""


class ExportFailed(CounterweightError):
    """The torch model has no faithful ONNX graph, or the bundle cannot be written."""


class StepFailed(CounterweightError):
    """One step of one variant did not do what the recipe asks."""
