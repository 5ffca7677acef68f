"""Text: the tokenizer beside a model, with how it cuts and pads written into it."""

import json
from collections.abc import Sequence

import numpy as np
import tokenizers

from export.errors import InvalidData, InvalidSource
from serve.tensor import Arrays


class Tokenizer:
    """Turns texts into what a transformer takes. `content` is all that a server needs to do the same."""

    def __init__(self, name: str, content: bytes, max_tokens: int, pad_id: int) -> None:
        """The tokenizer in the tokenizer.json `content`, set to cut after `max_tokens` and to pad on the
        right. `name` is what messages call it. Raises InvalidSource."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content.decode())
        except Exception as error:  # the Rust library raises plain Exception
            raise InvalidSource(
                f"{name} is no tokenizer: {error}; save it again with AutoTokenizer.from_pretrained(...)"
                ".save_pretrained(folder)"
            ) from None
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if max_tokens <= special:
            raise InvalidSource(
                f"`source.max_tokens` is {max_tokens}, and {name} adds {special} tokens to every text, so "
                f"nothing of it would be left; give at least {special + 1}"
            )
        pad_token = self._tokenizer.id_to_token(pad_id)
        if pad_token is None:
            raise InvalidSource(
                f"{name} has no token {pad_id}, with which the model's config.json pads; take the tokenizer "
                "and the model from the same folder"
            )
        self.name = name
        self.vocabulary = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding(direction="right", pad_id=pad_id, pad_token=pad_token)
        # Of the file tokenizer.json in a bundle.
        self.content = _canonical(self._tokenizer.to_str())

    def encode(self, place: str, texts: Sequence[str]) -> Arrays:
        """input_ids and attention_mask, int64 [texts, tokens of the longest], padded on the right.

        Raises InvalidData, which names `place` and the row, for a text without any token."""
        rows = self._tokenizer.encode_batch(list(texts))
        mask = np.array([row.attention_mask for row in rows], np.int64)
        empty = np.flatnonzero(mask.sum(axis=1) == 0) if mask.size else np.arange(len(rows))
        if len(empty):
            raise InvalidData(
                f"{place}: {self.name} finds no token in row {empty[0]}, {texts[empty[0]]!r:.60}; "
                "drop such texts"
            )
        return {"input_ids": np.array([row.ids for row in rows], np.int64), "attention_mask": mask}


def _canonical(content: str) -> bytes:
    # Rust's maps come out in another order each time.
    return json.dumps(json.loads(content), ensure_ascii=False, sort_keys=True).encode()
