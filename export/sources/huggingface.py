"""Reads a transformer and its tokenizer from a folder saved by transformers, or from the hub."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from export.artifacts import Trained
from export.data.tokenizer import Tokenizer
from export.errors import InvalidSource, reason_of
from export.recipe import HuggingFaceSource
from export.sources.files import read_file
from export.sources.hub import digest_model, find_model, quiet
from export.sources.module import require_sound
from export.sources.task_heads import Pooling, TaskHead, wrap
from export.sources.weights import refuse_nan
from serve.base.record import nearest
from serve.bundles.bundle import LABELS
from serve.bundles.meaning import Task

# onnxruntime's optimizer recognizes and fuses attention that is written step by step.
_ATTENTION = "eager"
_CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "embedding": "AutoModel",
}
# A part of the base model that no embedding uses.
_POOLER = "pooler."


def read_huggingface(source: HuggingFaceSource, folder: Path, task: Task) -> Trained:
    """Return the transformer with the head for `task`; takes input_ids and attention_mask, int64 [batch,
    tokens]. Raises InvalidSource if anything is missing or does not fit."""
    home = find_model(source, folder)
    shell = _build_shell(home, task)
    require_sound(source.huggingface, shell)
    tokenizer = _read_tokenizer(source, home, shell)
    pooling = Pooling.read(home) if task == "embedding" else None
    model = _load(home, task)
    trained = wrap(model, task, pooling)
    refuse_nan(str(home), trained.state_dict(), trained)
    assets = {"tokenizer.json": tokenizer.content}
    if (home / "tokenizer_config.json").is_file():
        assets["tokenizer_config.json"] = read_file(home / "tokenizer_config.json", "huggingface")
    if task != "embedding" and (labels := _read_labels(home)):
        assets[LABELS] = json.dumps(labels, indent=2).encode() + b"\n"
    return Trained(
        name=source.huggingface,
        sha256=digest_model(home),
        build=lambda: copy.deepcopy(trained),
        build_with=lambda changes: _build_with(trained, home, task, pooling, changes),
        tokenizer=tokenizer,
        assets=assets,
    )


def _build_shell(home: Path, task: Task) -> Any:
    """Build transformers' module without its weights, which takes no time and no memory."""
    import transformers

    try:
        with quiet(), torch.device("meta"):
            return getattr(transformers, _CLASSES[task]).from_config(
                _read_config(home), dtype=torch.float32, attn_implementation=_ATTENTION
            )
    except InvalidSource:
        raise
    except Exception as error:  # transformers raises a dozen unrelated classes
        raise InvalidSource(
            f"{home} cannot be built as {_CLASSES[task]}: {_say(error)}; save the model again, or correct "
            "`task`"
        ) from None


def _count_positions(shell: Any) -> int | None:
    """Return the number of the model's positions; None if its configuration does not say."""
    most = getattr(shell.config, "max_position_embeddings", None)
    if not isinstance(most, int):
        return None
    # RoBERTa and related models count positions from after the padding token.
    starts = [
        module.padding_idx + 1
        for module in shell.modules()
        if isinstance(module, torch.nn.Embedding)
        and module is not shell.get_input_embeddings()
        and module.num_embeddings == most
        and module.padding_idx is not None
    ]
    return most - max(starts, default=0)


def _read_tokenizer(source: HuggingFaceSource, home: Path, shell: Any) -> Tokenizer:
    path = home / "tokenizer.json"
    if not path.is_file():
        raise InvalidSource(
            f"{home} has no tokenizer.json, which the server needs; slow tokenizers (vocab.txt, *.model) "
            "are converted by AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    config = _read_json(home / "config.json")
    pad = config.get("pad_token_id")
    pad = _read_config(home).pad_token_id if pad is None else pad
    if not isinstance(pad, int):
        raise InvalidSource(f"{home / 'config.json'} has no pad_token_id; add it: shorter texts need padding")
    tokenizer = Tokenizer(str(path), read_file(path, "huggingface"), source.max_tokens, pad)
    positions = _count_positions(shell)
    if positions is not None and positions < source.max_tokens:
        raise InvalidSource(
            f"{home} has positions for {positions} tokens, and `source.max_tokens` is {source.max_tokens}; "
            f"lower it to {positions}"
        )
    vocabulary = config.get("vocab_size")
    if isinstance(vocabulary, int) and vocabulary < tokenizer.vocabulary:
        raise InvalidSource(
            f"{home / 'config.json'} says vocab_size: {vocabulary}, but {tokenizer.vocabulary} are needed; "
            "take tokenizer and model from the same folder"
        )
    return tokenizer


def _read_labels(home: Path) -> list[str]:
    """Read the class names, in the order of the scores; none if the model has only numbers for them."""
    names = {int(number): name for number, name in _read_config(home).id2label.items()}
    ordered = [str(names[number]) for number in sorted(names)]
    return [] if ordered == [f"LABEL_{number}" for number in range(len(ordered))] else ordered


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_file(path, "huggingface"))
    except ValueError as error:
        raise InvalidSource(f"{path} is not JSON: {error}; save the model again") from None
    if not isinstance(content, dict):
        raise InvalidSource(f"{path} holds a {type(content).__name__}; save the model again")
    return content


def _read_config(home: Path, **changes: JsonValue) -> Any:
    import transformers

    try:
        with quiet():
            return transformers.AutoConfig.from_pretrained(
                home, local_files_only=True, trust_remote_code=False, **changes
            )
    except Exception as error:  # transformers raises a dozen unrelated classes
        raise InvalidSource(f"{home / 'config.json'}: {_say(error)}; save the model again") from None


def _load(home: Path, task: Task) -> Any:
    """Load transformers' module in float32, with every weight that it uses from the files."""
    import transformers

    kind = getattr(transformers, _CLASSES[task])
    try:
        with quiet():
            model, report = kind.from_pretrained(
                home,
                config=_read_config(home),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation=_ATTENTION,
                output_loading_info=True,
            )
    except InvalidSource:
        raise
    except Exception as error:  # transformers raises a dozen unrelated classes
        raise InvalidSource(
            f"{home} does not load as {_CLASSES[task]}: {_say(error)}; save model and config.json "
            "together with save_pretrained(folder), as safetensors"
        ) from None
    _refuse_gaps(home, task, model, report)
    return model.eval()


def _refuse_gaps(home: Path, task: Task, model: Any, report: Any) -> None:
    """Raise InvalidSource for missing or surplus weights: transformers fills missing ones with random numbers
    and drops surplus ones."""
    missing = [key for key in report["missing_keys"] if not (task == "embedding" and key.startswith(_POOLER))]
    if missing:
        raise InvalidSource(
            f"{home} has no weights for {_list(missing)}; as {_CLASSES[task]} it would answer at random "
            "there: correct the recipe's `task` or config.json, or train that head first"
        )
    own = {name for name, _ in model.named_children()}
    surplus = [
        key
        for key in report["unexpected_keys"]
        # An embedding needs no head; older versions of transformers also stored positions.
        if not key.endswith("position_ids") and (task != "embedding" or key.partition(".")[0] in own)
    ]
    if surplus:
        raise InvalidSource(
            f"{home} has weights that the model of its config.json does not use: {_list(surplus)}; "
            "config.json and weights are not of the same model: save them together with "
            "save_pretrained(folder)"
        )


def _build_with(
    trained: TaskHead, home: Path, task: Task, pooling: Pooling | None, changes: dict[str, JsonValue]
) -> torch.nn.Module:
    import transformers

    known = _read_config(home).to_dict()
    for key in changes:
        if key not in known:
            raise InvalidSource(f"{home / 'config.json'} has no {key!r} to change; {nearest(key, known)}")
    config = _read_config(home, **changes)
    try:
        with quiet():
            model = getattr(transformers, _CLASSES[task]).from_config(
                config, dtype=torch.float32, attn_implementation=_ATTENTION
            )
    except Exception as error:  # transformers raises a dozen unrelated classes
        raise InvalidSource(f"{home} cannot be built with {changes}: {_say(error)}") from None
    student = wrap(model, task, pooling).eval()
    expected = student.state_dict()
    fitting = {
        key: tensor
        for key, tensor in trained.state_dict().items()
        if key in expected and expected[key].shape == tensor.shape
    }
    student.load_state_dict(fitting, strict=False)
    return student


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"


def _list(keys: list[str]) -> str:
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return ", ".join(sorted(keys)[:5]) + more
