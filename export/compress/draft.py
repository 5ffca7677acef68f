"""Draft a recipe for a trained model and, if there is one, a file with rows for it."""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from export.artifacts import Trained
from export.compress.compress_request import CompressRequest, Draft
from export.compress.find_boxes import find_boxes
from export.compress.graph_profile import profile_graph
from export.compress.guess_task import Guess, guess_task
from export.compress.match_inputs import ModelInput, match_inputs
from export.compress.model_file import describe_source, read_head, read_model_inputs
from export.compress.propose_floor import propose_floor
from export.compress.propose_variants import propose_variants
from export.compress.random_data import find_random_rows
from export.compress.tried_model import try_model
from export.cpu import read_cpu
from export.data.datasets import Split, read_split
from export.data.files.class_index import index_classes
from export.data.files.file_rows import FileRows
from export.data.files.name_lists import mark_names
from export.data.files.row_file import read_rows
from export.data.files.row_form import RowForm
from export.data.random.random_rows import SHARES, make_rows
from export.errors import ExportFailed, InvalidData
from export.progress import Say
from export.proof.held_out import Answers
from export.recipe import Recipe, Source
from export.sandbox.model_lock import locked
from export.sources.read_trained import read_trained
from serve.base.atomic_file import write_whole
from serve.bundles.meaning import Task

RECIPE = "recipe.yaml"
# Enough to tell the task, and to try the graph with batches of several sizes.
_TRIED_ROWS = 256
_RANDOM = (
    "no --inputs: the rows are random, so nothing is known of the quality, and `counterweight serve` needs "
    "--unproven"
)


def draft(request: CompressRequest, say: Say) -> Draft:
    """Write a recipe for the model into its folder in the repository, and return its place and reasons.

    Raises ExportFailed if the folder has a recipe, and every error of reading the model and its rows."""
    name = request.name or _name(request.model)
    with locked(request.out / name) as home:
        return _draft(request, name, home, say)


def _draft(request: CompressRequest, name: str, home: Path, say: Say) -> Draft:
    path = home / RECIPE
    if path.exists():
        raise ExportFailed(
            f"{path} exists: change it and run `counterweight export {path} --out {request.out}`, or choose "
            "another --name"
        )
    say("reading the model and its rows")
    source = describe_source(request.model, home)
    head = read_head(request.model) if "huggingface" in source else None
    validated: Any = TypeAdapter(Source).validate_python(source)
    trained = read_trained(validated, home, request.task or head or "classification")
    rows, data, remarks = _read_rows(request, trained, home)
    split = _take_rows(str(request.inputs or "random rows"), rows, trained)
    say("running the model on some rows")
    tried = try_model(trained, split, head)
    judged = {name: answer for name, answer in tried.answers.items() if name not in tried.states}
    guess = _guess(request, head, judged, rows)
    outputs = [guess.output, *(output for output in tried.answers if output != guess.output)]
    proposal = propose_variants(profile_graph(tried.graph, split), read_cpu())
    held_out = max(2, round(len(next(iter(rows.inputs.values()))) * SHARES["held_out"]))
    recipe = {
        "model": name,
        "task": guess.task,
        "source": source,
        "data": data,
        "outputs": outputs,
        **({"rules": guess.rules} if guess.rules else {}),
        "floor": propose_floor(guess.task, rows.labels is not None, held_out),
        "variants": {
            variant: [step.model_dump(mode="json", exclude_unset=True) for step in steps]
            for variant, steps in proposal.variants.items()
        },
    }
    Recipe.parse(recipe, str(path))
    reasons = (*remarks, f"task {guess.task}: {guess.reason}", *tried.remarks, *proposal.reasons)
    write_whole(path, _write(recipe, reasons, path, request.out))
    return Draft(path=path, reasons=reasons)


def _name(model: Path) -> str:
    """Return a name for the model that a repository accepts, from its file."""
    name = re.sub(r"[^a-z0-9_.-]+", "-", model.resolve().stem.lower()).strip("-._")[:63]
    return name or "model"


def _read_rows(
    request: CompressRequest, trained: Trained, home: Path
) -> tuple[FileRows, dict[str, Any], tuple[str, ...]]:
    """Return the rows, the recipe's `data` that gives them, and remarks."""
    if request.inputs is not None:
        rows, files = _read_file(request, request.inputs, trained, home)
        return rows, {"files": files, "split": SHARES, "seed": 0}, ()
    if request.labels is not None or request.images is not None:
        raise InvalidData("--labels and --images describe the file of --inputs, and there is none; add it")
    form = find_random_rows(trained)
    rows = FileRows(inputs=make_rows(form.inputs, form.rows, 0), labels=None)
    data = {"random": form.model_dump(mode="json", exclude_defaults=True), "seed": 0}
    return rows, data, (_RANDOM,)


def _read_file(
    request: CompressRequest, path: Path, trained: Trained, home: Path
) -> tuple[FileRows, dict[str, Any]]:
    """Return the rows of a file, and the recipe's `files` that read them."""
    expected = read_model_inputs(trained)
    form: dict[str, Any] = {"labels": request.labels, "images": request.images}
    if request.images is not None or path.suffix == ".npy":
        form["inputs"] = (_only(path, expected),)
    else:
        found = read_rows(path, RowForm.model_validate(form))
        match = match_inputs(str(path), expected, found.inputs)
        same = all(name == of for name, of in match.inputs.items())
        form |= {"inputs": tuple(match.inputs) if same else match.inputs, "dtypes": match.dtypes}
    rows = read_rows(path, RowForm.model_validate(form))
    relative = os.path.relpath(path.resolve(), home.resolve())
    files = RowForm.model_validate(form).model_dump(mode="json", exclude_defaults=True)
    return rows, {"path": relative, **files}


def _only(path: Path, expected: dict[str, ModelInput]) -> str:
    if len(expected) > 1:
        raise InvalidData(
            f"{path} holds one input, and the model takes {', '.join(expected)}; give an .npz file with all"
        )
    return next(iter(expected))


def _take_rows(place: str, rows: FileRows, trained: Trained) -> Split:
    inputs = {name: array[:_TRIED_ROWS] for name, array in rows.inputs.items()}
    return read_split(place, (inputs, None), trained.tokenizer, trained.graph is not None)


def _guess(request: CompressRequest, head: Task | None, answers: Answers, rows: FileRows) -> Guess:
    first = next(iter(answers))
    if request.task is not None:
        found = None
        if request.task == "detection":
            found = find_boxes(answers, None if rows.labels is None else rows.labels[:_TRIED_ROWS])
        output = first if found is None else found.output
        return Guess(task=request.task, output=output, reason="--task says so")
    if head is not None:
        return Guess(task=head, output=first, reason="config.json names such an architecture")
    if rows.labels is None:
        return guess_task(answers)
    indexed, _ = index_classes({str(request.inputs): rows.labels}, ())
    labels, _ = mark_names(indexed, ())
    return guess_task(answers, labels[str(request.inputs)][:_TRIED_ROWS])


def _write(recipe: dict[str, Any], reasons: tuple[str, ...], path: Path, out: Path) -> bytes:
    """Return the recipe as YAML, with its reasons as comments."""
    words = [f"Drafted by counterweight compress. After a change: counterweight export {path} --out {out}"]
    comments = "".join(f"# {line}\n" for line in (*words, *reasons))
    text: str = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    return (comments + text).encode()
