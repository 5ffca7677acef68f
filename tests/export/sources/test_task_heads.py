"""An embedding is pooled as the model's own library pools it, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from export.errors import InvalidSource
from export.sources.task_heads import Pooling, wrap


def test_without_a_word_it_is_the_normalised_mean(tmp_path: Path) -> None:
    """Without a configuration the pooling is the normalized mean."""
    assert Pooling.read(tmp_path) == Pooling(first_token=False, normalize=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", [{"type": "sentence_transformers.models.Dense", "path": ""}], "names Dense"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pools by max_tokens; mean and cls"),
        ("1_Pooling/config.json", {"pooling_mode": "weightedmean"}, "pools by weightedmean"),
    ],
)
def test_refuses_another_pooling(tmp_path: Path, name: str, content: Any, message: str) -> None:
    """A pooling that the export does not support is refused."""
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InvalidSource, match=message):
        Pooling.read(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_labels": 1}, "has 1 labels"), ({"problem_type": "regression"}, "problem type regression")],
)
def test_refuses_what_has_no_classes(settings: dict[str, Any], message: str) -> None:
    """A model with one output number is refused for classification."""
    config = transformers.BertConfig(vocab_size=5, hidden_size=4, num_hidden_layers=1, num_attention_heads=1)
    config.update(settings)
    with pytest.raises(InvalidSource, match=f"{message}.*task classification needs two or more classes"):
        wrap(transformers.BertForSequenceClassification(config), "classification", None)
