"""Reads a program of torch.export.save: takes it apart, checks it, and rebuilds it before torch loads it.

torch.export.load is not a safe reader. In torch 2.13, these parts of a file can run code: sample inputs
(deserialize_torch_artifact falls back to weights_only=False), tensors with `use_pickle`, `custom_obj_*` and
`opaque_obj_*` constants, the .pt files of older layouts, libraries under data/aotinductor, `guards_code`
(exec), `expr_str` (sympy's eval), and every name, because the graph becomes Python source. Therefore torch
gets an archive that we write: weights, constants, and a graph in which each of these parts is removed or
harmless."""

import io
import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from export.artifacts import Trained
from export.errors import InvalidSource, reason_of
from export.recipe import ProgramSource
from export.sources.files import MAX_BYTES, TOO_LARGE, read_file
from export.sources.program_graph import check_graph
from export.sources.weights import load_plain, refuse_nan
from serve.bundles.bundle import sha256

_GRAPH = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_KNOWN = (
    re.escape(_GRAPH),
    re.escape(_SAMPLES),
    *map(re.escape, _CONFIGS),
    r"data/weights/weight_\d+",
    r"data/constants/tensor_\d+",
    r"archive_format|archive_version|byteorder|\.data/version|\.data/serialization_id",
)
_AGAIN = (
    "save it again with torch.export.save(torch.export.export(model.eval(), ...), 'model.pt2'), torch 2.13"
)


def read_program(source: ProgramSource, folder: Path) -> Trained:
    """Return the program as a module whose weights can change and whose layers cannot.

    Raises InvalidSource before anything in the file can run."""
    path = folder / source.program
    content = read_file(path, "program")
    members = _check(str(path), _unzip(str(path), content))
    module = _load(str(path), members)
    refuse_nan(str(path), module.state_dict(), module)
    return Trained(
        name=source.program,
        sha256=sha256(content),
        build=lambda: _load(str(path), members),
        frozen=True,
        assets={},
    )


def _unzip(name: str, content: bytes) -> dict[str, bytes]:
    """Return every file in the archive, by its name below the archive's own folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            claimed = sum(info.file_size for info in infos)
            if claimed > MAX_BYTES:
                raise InvalidSource(f"{name} claims {claimed} bytes unpacked; the maximum is {TOO_LARGE}")
            return {info.filename.partition("/")[2]: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidSource(f"{name} is not a complete torch.export program: {error}; {_AGAIN}") from None


def _check(name: str, members: dict[str, bytes]) -> dict[str, bytes]:
    """Return the members that may be loaded. Raises InvalidSource for one that could run code, by its
    name."""
    unknown = [member for member in members if not re.fullmatch("|".join(_KNOWN), member)]
    if unknown:
        raise InvalidSource(
            f"{name} holds {', '.join(sorted(unknown)[:5])}; a program contains only weights, tensors and "
            f"one graph, and other content is not opened: {_AGAIN}"
        )
    try:
        graph = json.loads(members[_GRAPH])
        for config in _CONFIGS:
            _refuse_pickles(name, json.loads(members[config]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidSource(f"{name} is not a torch.export program: {error!r}; {_AGAIN}") from None
    if members.get(_SAMPLES):
        load_plain(f"{name}/{_SAMPLES}", members[_SAMPLES])
    return members | {_GRAPH: json.dumps(check_graph(name, graph)).encode(), _SAMPLES: b""}


def _refuse_pickles(name: str, config: Any) -> None:
    for key, entry in config["config"].items():
        if entry["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            raise InvalidSource(
                f"{name}: {key} is a pickle or an object of its own ({entry['path_name']}), which torch "
                "would run to read it; use plain tensors only"
            )


def _load(name: str, members: dict[str, bytes]) -> torch.nn.Module:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for member, content in members.items():
            file.writestr(f"model/{member}", content)
    archive.seek(0)
    try:
        program = torch.export.load(archive)
        module = program.module(check_guards=False)
    except Exception as error:  # torch raises a dozen unrelated classes
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise InvalidSource(f"{name} does not load: {reason}; {_AGAIN}") from None
    _refuse_fixed_batch(name, program)
    # A recorded program has no modes, and torch makes both calls raise; steps call them only as a precaution.
    for method in ("train", "eval"):
        module.__dict__.pop(method, None)
    return module.eval()


def _refuse_fixed_batch(name: str, program: Any) -> None:
    inputs = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.name in inputs:
            value = node.meta["val"]
            shape = list(value.shape) if isinstance(value, torch.Tensor) else []
            if not shape or isinstance(shape[0], int):
                raise InvalidSource(
                    f"{name}: the input {node.name} was recorded with the shape {shape}, and its batch is "
                    "fixed; export it with a free one: torch.export.export(model.eval(), (example,), "
                    "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), the example with two rows or more"
                )
