"""The folder of one variant, as `bundle.json` describes it. This is the contract between export and serve.

        models/<model>/<variant>/bundle.json   the manifest that this file defines, schema version 2
        models/<model>/<variant>/model.onnx    the graph, with its weights if they fit into one file
    models/<model>/<variant>/model.onnx.data   otherwise, the large weights
    models/<model>/<variant>/...           assets: tokenizer.json, labels.json

A bundle is written completely or not at all, and a file is read only together with its SHA-256.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, ValidationError

from serve.base.atomic_file import replacing, write_whole
from serve.base.errors import InvalidBundle
from serve.base.record import Record, explain
from serve.base.tensor import Signature
from serve.bundles.figures import Figures

MANIFEST = "bundle.json"
MODEL = "model.onnx"
# The weights of a graph that is too large for one file.
WEIGHTS = "model.onnx.data"
# Names of the classes, as a JSON list in the order of the scores.
LABELS = "labels.json"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BundleFile(Record):
    """One file of the bundle."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class DataSplit(Record):
    """The rows from which a figure or a step was computed."""

    rows: Annotated[int, Field(ge=1)]
    # Over the sorted hashes of all rows, so the order of the rows does not matter.
    sha256: Sha256


class Cpu(Record):
    """The processor on which the bundle was built and measured."""

    model: str
    # Instruction sets that decide whether 8-bit arithmetic is faster (avx2, avx512_vnni, amx_int8, ...).
    flags: tuple[str, ...]


class Provenance(Record):
    """Everything that determines the result. The same provenance gives the same files."""

    # SHA-256 over everything that determines the result, except the processor. An unchanged variant is not
    # built again.
    fingerprint: Sha256
    source: dict[str, JsonValue]
    steps: tuple[dict[str, JsonValue], ...]
    floor: dict[str, JsonValue]
    task: str
    # The recipe's rules by output.
    rules: Mapping[str, JsonValue] = {}
    # The recipe's own metric with the digest of its code; None: it has none.
    metric: Mapping[str, JsonValue] | None = None
    seed: int
    # The number of torch threads during the export.
    threads: int
    # Over all bytes of the trained model.
    trained_sha256: Sha256
    code_sha256: Sha256
    data: dict[str, DataSplit]
    versions: dict[str, str]
    cpu: Cpu


class Bundle(Record):
    """The content of `bundle.json`."""

    schema_version: Literal[2] = 2
    model: Name
    variant: Name
    # The variant that this one is compared with; for the baseline, its own name.
    baseline: Name
    # The reason why the quality floor was not met; None: the variant may be served.
    rejected: str | None
    # Whether the variant was imported and not measured on held-out rows. It may be served.
    unproven: bool = False
    # Whether it was measured on random rows only, so that nothing is known of its quality. It may be served
    # only with `counterweight serve --unproven`.
    random_rows: bool = False
    # Its position among the recipe's variants; None: no recipe has it, or the export is older.
    position: Annotated[int, Field(ge=0)] | None = None
    # "alone": the answer for a row depends on the other rows of the run, so each row is run by itself.
    rows: Literal["together", "alone"] = "together"
    # The first node that mixes rows, if it was found.
    mixed_by: str | None = None
    files: Annotated[tuple[BundleFile, ...], Field(min_length=1)]
    signature: Signature
    # Dimension that may vary (except the batch) -> a size of it in the calibration rows, which the graph
    # accepts.
    sizes: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    # Free dimension of a sequence -> the largest size that the graph accepts; without unlimited ones.
    longest: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    # Input -> the smallest and the largest value that the graph accepts, inclusive: indices of a table.
    ranges: dict[str, tuple[int, int]] = Field(default_factory=dict)
    opset: Annotated[int, Field(ge=1)]
    figures: Figures
    provenance: Provenance

    @property
    def digest(self) -> str:
        """SHA-256 over the names and digests of all files; it identifies the content of the bundle."""
        return sha256("".join(f"{file.path} {file.sha256}\n" for file in self.files).encode())

    @property
    def proven(self) -> bool:
        """Whether its figures come from held-out rows of real data."""
        return not (self.unproven or self.random_rows)

    def full_rows(self, call_ms: float) -> int:
        """The largest useful batch if every run costs an additional `call_ms` of CPU time."""
        return 1 if self.rows == "alone" else self.figures.speed.full_rows(call_ms)


def sha256(content: bytes) -> str:
    """The SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """The SHA-256 of the file at `path` in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_file(path: str, content: bytes | Path) -> BundleFile:
    """The entry in the bundle's file list for `content`: the content itself, or the file that has it."""
    if isinstance(content, Path):
        return BundleFile(path=path, size_bytes=content.stat().st_size, sha256=digest_file(content))
    return BundleFile(path=path, size_bytes=len(content), sha256=sha256(content))


def read_bundle(folder: Path) -> Bundle:
    """Read the manifest of the bundle in `folder`. Raises InvalidBundle."""
    path = folder / MANIFEST
    try:
        return Bundle.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise InvalidBundle(
            f"{folder} is not a bundle: it has no {MANIFEST}; export it again, or name another folder"
        ) from None
    except ValidationError as error:
        raise InvalidBundle(f"{path}: {explain(error)}; export the variant again") from None
    except ValueError as error:
        raise InvalidBundle(f"{path} is not JSON: {error}; export the variant again") from None


def read_file(folder: Path, bundle: Bundle, path: str) -> bytes:
    """Read one file of the bundle and verify its digest.

    Raises InvalidBundle if the file is not listed, missing, a link, or differs from `bundle.json`."""
    content = _find_file(folder, bundle, path).read_bytes()
    _require_digest(folder, bundle, path, sha256(content))
    return content


def verify_file(folder: Path, bundle: Bundle, path: str) -> Path:
    """Verify the digest of one file of the bundle, without holding the file in memory, and return its path.
    Raises InvalidBundle as `read_file` does."""
    target = _find_file(folder, bundle, path)
    _require_digest(folder, bundle, path, digest_file(target))
    return target


def _find_file(folder: Path, bundle: Bundle, path: str) -> Path:
    if all(file.path != path for file in bundle.files):
        raise InvalidBundle(f"{folder / MANIFEST} does not list {path}; export the variant again")
    target = folder / path
    if target.is_symlink() or not target.is_file():
        raise InvalidBundle(f"{target} is missing or not a regular file; export the variant again")
    return target


def _require_digest(folder: Path, bundle: Bundle, path: str, actual: str) -> None:
    expected = next(file.sha256 for file in bundle.files if file.path == path)
    if actual != expected:
        raise InvalidBundle(
            f"{folder / path} has SHA-256 {actual[:12]}..., {MANIFEST} says {expected[:12]}...: "
            "the file was changed after export; export the variant again"
        )


def write_bundle(folder: Path, bundle: Bundle, contents: Mapping[str, bytes | Path]) -> None:
    """Write the bundle to `folder`, completely or not at all, and replace a bundle that is there.

    `contents` are the files' contents, or files to copy. All files are first written to a hidden folder
    beside `folder`, which is renamed at the end."""
    listed = {file.path for file in bundle.files}
    assert listed == contents.keys(), "files differ from the list"
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        new = scratch / "new"
        new.mkdir()
        for path, content in contents.items():
            _write_file(new / path, content)
            verify_file(new, bundle, path)
        write_whole(new / MANIFEST, _manifest(bundle), synced=True)
        if folder.exists():
            folder.rename(scratch / "old")
        new.rename(folder)
    except BaseException:
        if (scratch / "old").exists() and not folder.exists():
            (scratch / "old").rename(folder)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_file(path: Path, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        write_whole(path, content, synced=True)
        return
    with replacing(path, synced=True) as target, content.open("rb") as source:
        shutil.copyfileobj(source, target)


def write_manifest(folder: Path, bundle: Bundle) -> None:
    """Replace the manifest of the bundle in `folder`, completely or not at all; its files do not change."""
    write_whole(folder / MANIFEST, _manifest(bundle), synced=True)


def _manifest(bundle: Bundle) -> bytes:
    return bundle.model_dump_json(indent=2).encode() + b"\n"
