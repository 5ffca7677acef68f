"""What a person asks `counterweight compress` for, and what is drafted for it."""

from pathlib import Path

from export.data.files.row_form import ImageForm
from serve.base.record import Record
from serve.bundles.bundle import Name
from serve.bundles.meaning import Task


class CompressRequest(Record):
    """A trained model, and a file with rows for it, if there is one."""

    # A file or folder; see export/compress/model_file.py.
    model: Path
    # The file with the rows, or a folder of images; None: random rows are made.
    inputs: Path | None = None
    # The repository.
    out: Path
    # The model's name in the repository; None: that of the file.
    name: Name | None = None
    # The array, column or key with the labels; None: there are none.
    labels: str | None = None
    # None: it is guessed.
    task: Task | None = None
    images: ImageForm | None = None


class Draft(Record):
    """A recipe that was written, and why it is as it is."""

    path: Path
    reasons: tuple[str, ...]
