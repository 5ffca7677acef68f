"""Finds or downloads the folder of a Hugging Face model, and digests its content."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from export.errors import InvalidSource, reason_of
from export.recipe import HuggingFaceSource

# Only these files are read; pickles and code never are.
_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "modules.json", "*/config.json")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def find_model(source: HuggingFaceSource, folder: Path) -> Path:
    """Return the folder of the model, downloaded from the hub if it is not a local folder. Raises
    InvalidSource."""
    home = folder / source.huggingface
    if home.is_dir():
        if source.revision is not None:
            raise InvalidSource(f"{home} is a folder; `source.revision` belongs to the hub: remove it")
        return home
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", source.huggingface):
        raise InvalidSource(
            f"{home} is not a folder, and {source.huggingface!r} is not an id on the hub; correct it"
        )
    if source.revision is None:
        raise InvalidSource(
            f"{home} is not a folder; to download {source.huggingface} from the hub, name the version: "
            "give `source.revision`, preferably the hash of a commit"
        )
    return _fetch(source.huggingface, source.revision)


def _fetch(name: str, revision: str) -> Path:
    import huggingface_hub

    try:
        with quiet():
            return Path(
                huggingface_hub.snapshot_download(
                    name, revision=revision, allow_patterns=[*_FILES, *_WEIGHTS]
                )
            )
    except Exception as error:  # the hub's library raises those of its HTTP client too
        raise InvalidSource(
            f"{name} at {revision} is neither a folder here nor could it be fetched from the hub: "
            f"{reason_of(error)}; where there is a network, run `hf download {name} --revision {revision} "
            "--local-dir FOLDER`, and give FOLDER as `source.huggingface`"
        ) from None


def digest_model(home: Path) -> str:
    """Return the SHA-256 of the names and contents of all files that are read from `home`."""
    digest = hashlib.sha256()
    paths = {path for pattern in (*_FILES, *_WEIGHTS) for path in home.glob(pattern)}
    for path in sorted(paths):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(home).as_posix()} {content}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers and the hub; problems that matter are raised as errors."""
    from transformers.utils import logging

    # Half of the library has no types.
    library: Any = logging
    verbosity, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        if bars:
            library.enable_progress_bar()
