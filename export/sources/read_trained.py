"""Reads the trained model that a recipe names, from any kind of source."""

from pathlib import Path

from export.artifacts import Trained
from export.recipe import FactorySource, HuggingFaceSource, OnnxSource, ProgramSource, Source
from export.sources.factory import read_factory
from export.sources.huggingface import read_huggingface
from export.sources.onnx_file import read_onnx
from export.sources.program import read_program
from serve.bundles.meaning import Task


def read_trained(source: Source, folder: Path, task: Task) -> Trained:
    """Read the model that `source` names, relative to the recipe's `folder`. Raises InvalidSource before any
    code in the file can run."""
    match source:
        case FactorySource():
            return read_factory(source, folder, task)
        case HuggingFaceSource():
            return read_huggingface(source, folder, task)
        case ProgramSource():
            return read_program(source, folder)
        case OnnxSource():
            return read_onnx(source, folder, task)
