"""Adds the head that turns a transformer's result into one tensor for the task."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from export.errors import InvalidSource
from serve.bundles.meaning import Task

_FIX = "use a model with one pooling, optionally followed by a normalisation"


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """How a sentence embedding is computed from its tokens."""

    # Use only the first token instead of the mean of all.
    first_token: bool = False
    # Scale to length 1.
    normalize: bool = True

    @classmethod
    def read(cls, home: Path) -> "Pooling":
        """Read modules.json and the pooling's config.json of sentence-transformers; the default is the
        normalised mean. Raises InvalidSource for unsupported poolings."""
        normalize, place = True, "1_Pooling"
        if (home / "modules.json").is_file():
            modules = _read(home / "modules.json")
            kinds = {str(item["type"]).rpartition(".")[2]: str(item["path"]) for item in modules}
            if others := set(kinds) - {"Transformer", "Pooling", "Normalize"}:
                raise InvalidSource(f"{home / 'modules.json'} names {', '.join(sorted(others))}; {_FIX}")
            normalize, place = "Normalize" in kinds, kinds.get("Pooling", place)
        path = home / place / "config.json"
        if not path.is_file():
            return cls(normalize=normalize)
        config = _read(path)
        prefix = "pooling_mode_"
        modes = [
            key.removeprefix(prefix) for key, value in config.items() if key.startswith(prefix) and value
        ]
        modes = [str(config["pooling_mode"])] if "pooling_mode" in config else modes
        if modes not in (["mean_tokens"], ["mean"], ["cls_token"], ["cls"]):
            raise InvalidSource(
                f"{path} pools by {', '.join(modes) or 'nothing'}; mean and cls are supported: {_FIX}"
            )
        return cls(first_token=modes[0].startswith("cls"), normalize=normalize)


class TaskHead(torch.nn.Module):
    """A transformer that takes input_ids and attention_mask, int64 [batch, tokens]."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer


class Scores(TaskHead):
    """Scores per class: [batch, classes], or [batch, tokens, classes]."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.transformer(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


class Embedding(TaskHead):
    """One vector per text: [batch, width]."""

    def __init__(self, transformer: Any, pooling: Pooling) -> None:
        super().__init__(transformer)
        self.pooling = pooling

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the pooled tokens without the padding."""
        output = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        tokens: torch.Tensor = output.last_hidden_state
        if self.pooling.first_token:
            pooled = tokens[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
        return torch.nn.functional.normalize(pooled, dim=1) if self.pooling.normalize else pooled


def wrap(transformer: Any, task: Task, pooling: Pooling | None) -> TaskHead:
    """Wrap transformers' module so that it answers `task`. Raises InvalidSource if that is not possible."""
    if pooling is not None:
        if hasattr(transformer, "pooler"):
            # The pooler is not used by embeddings.
            transformer.pooler = None
        return Embedding(transformer, pooling).eval()
    config = transformer.config
    if config.num_labels < 2 or config.problem_type in ("regression", "multi_label_classification"):
        raise InvalidSource(
            f"{config.name_or_path} has {config.num_labels} labels and the problem type "
            f"{config.problem_type}; task {task} needs two or more classes of which one is right"
        )
    return Scores(transformer).eval()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidSource(f"{path} is not JSON: {error}; save the model again") from None
