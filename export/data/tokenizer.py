"""Reads a model's tokenizer and sets its truncation and padding."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import tokenizers

from export.errors import InvalidData, InvalidSource, reason_of
from serve.base.tensor import Arrays

# Inputs that a text model must take, and that it may take.
NEEDED = ("input_ids", "attention_mask")
KNOWN = (*NEEDED, "token_type_ids")
_USUAL = dict.fromkeys(NEEDED, np.dtype(np.int64))
# Common padding tokens, used if the file does not name one.
_PADS = ("[PAD]", "<pad>", "<PAD>", "<|padding|>", "<|pad|>", "<|endoftext|>")
_MASKS = ("[MASK]", "<mask>", "<MASK>", "<|mask|>")


class Tokenizer:
    """Turns texts into a transformer's inputs. `content` is all that a server needs to do the same."""

    def __init__(
        self,
        name: str,
        content: bytes,
        max_tokens: int,
        pad_id: int | None = None,
        inputs: Mapping[str, np.dtype[np.signedinteger]] = _USUAL,
    ) -> None:
        """Read a tokenizer.json, set to truncate after `max_tokens` and to pad on the right.

        `name` is used in messages; `inputs` are those of the model. Raises InvalidSource."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content.decode())
        except Exception as error:  # the Rust library raises plain Exception
            raise InvalidSource(
                f"{name} is not a tokenizer: {reason_of(error)}; save it again with "
                "AutoTokenizer.from_pretrained(...).save_pretrained(folder)"
            ) from None
        self._inputs = inputs
        pad_id = _find_pad(name, self._tokenizer) if pad_id is None else pad_id
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
        self.max_tokens = max_tokens
        self.vocabulary = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding(direction="right", pad_id=pad_id, pad_token=pad_token)
        # The token for a word that is not known: the mask token, or else the padding.
        masks = (self._tokenizer.token_to_id(token) for token in _MASKS)
        self.unknown_id: int = next((number for number in masks if number is not None), pad_id)
        # The content of the file tokenizer.json in a bundle.
        self.content = _canonical(self._tokenizer.to_str())

    def encode(self, place: str, texts: Sequence[str]) -> Arrays:
        """Return the model's inputs, [texts, tokens of the longest text], padded on the right.

        Raises InvalidData, which names `place` and the row, for a text without any token."""
        rows = self._tokenizer.encode_batch(list(texts))
        mask = np.array([row.attention_mask for row in rows], np.int64)
        empty = np.flatnonzero(mask.sum(axis=1) == 0) if mask.size else np.arange(len(rows))
        if len(empty):
            raise InvalidData(
                f"{place}: {self.name} finds no token in row {empty[0]}, {texts[empty[0]]!r:.60}; "
                "drop such texts"
            )
        arrays = {
            "input_ids": np.array([row.ids for row in rows], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([row.type_ids for row in rows], np.int64),
        }
        return {name: arrays[name].astype(dtype) for name, dtype in self._inputs.items()}


def _find_pad(name: str, tokenizer: tokenizers.Tokenizer) -> int:
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    ids = (tokenizer.token_to_id(token) for token in _PADS)
    pad = next((number for number in ids if number is not None), None)
    if pad is None:
        raise InvalidSource(
            f"{name} names no padding token and has none of {', '.join(_PADS)}; save it again after "
            "tokenizer.enable_padding(pad_id=..., pad_token=...)"
        )
    return pad


def _canonical(content: str) -> bytes:
    # The order of the Rust library's maps changes between runs.
    return json.dumps(json.loads(content), ensure_ascii=False, sort_keys=True).encode()
