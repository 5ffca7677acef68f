"""TextInput: strings in, for a model with a tokenizer beside its graph."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from serve.base.errors import InvalidBundle, InvalidRequest
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.bundles.bundle import read_bundle, read_file, sha256
from serve.bundles.figures import Task

TOKENIZER = "tokenizer.json"
TEXT = "text"
# One thread for each text: the other cores belong to the models. The library looks at it when it encodes.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# As OpenAI allows: a request for more is work for several.
_MAX_TEXTS = 2048
# Twelve times what a token of prose takes. Past that a text costs seconds and gigabytes, and its end would
# almost never be seen: only where most of it is blank, or words too long for the vocabulary.
_CHARACTERS_PER_TOKEN = 64
# What takes about 2 ms; for longer, other requests should not wait.
_MAX_BYTES_IN_LOOP = 4096
# What a text costs beside its own bytes, in bytes.
_BYTES_FOR_A_TEXT = 32
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_FLOATS = ("FP16", "FP32", "FP64")


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """Texts as the graph takes them."""

    arrays: Arrays
    # Special ones with the rest, padding not.
    tokens: int
    # Texts that were longer than the model takes, and were cut.
    truncated_rows: int

    @property
    def parameters(self) -> dict[str, int]:
        """What the answer should tell the client; empty when nothing was cut."""
        return {"truncated_rows": self.truncated_rows} if self.truncated_rows else {}


class TextInput:
    """The tokenizer of one model, safe to use from several threads. The same text gives the same tokens.

    A longer text than the model takes is cut to `max_tokens`, as it was when the model was measured, and of
    any text at most 64 characters for each of these are looked at; `Encoded` says how many were cut."""

    def __init__(self, content: bytes, signature: Signature, name: str, task: Task) -> None:
        """From the content of a tokenizer.json, which says how to cut and to pad; messages call it `name`.

        Raises InvalidBundle when it does not, or when the graph takes something that no tokenizer gives."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content.decode())
        except Exception as error:  # the Rust library raises plain Exception
            raise InvalidBundle(f"{name} is no tokenizer: {error}; export the variant again") from None
        cut, padding = self._tokenizer.truncation, self._tokenizer.padding
        if not cut or not padding or {cut["direction"], padding["direction"]} != {"right"}:
            raise InvalidBundle(
                f"{name} says truncation {cut} and padding {padding}, expected both, on the right; "
                "export the variant again"
            )
        _check_inputs(signature, name)
        # Of what it was made from: one with the same digest gives the same tokens.
        self.digest = sha256(content)
        # The graph's rows are padded here, to what one request needs.
        self._tokenizer.no_padding()
        self._inputs = signature.inputs
        self._types = "token_type_ids" in signature.input_by_name
        self._vocabulary = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"text-{name}")
        self.max_tokens: int = cut["max_length"]
        pads = {"input_ids": padding["pad_id"], "token_type_ids": padding["pad_type_id"], "attention_mask": 0}
        # Input of the graph -> the value that fills it up where rows of other requests are longer.
        self.pads: dict[str, int] = {spec.name: pads[spec.name] for spec in signature.inputs}
        # What a request with texts looks like: one string for each row.
        texts = TensorSpec(name=TEXT, datatype="BYTES", shape=signature.inputs[0].shape[:1])
        self.form = Signature(inputs=(texts,), outputs=signature.outputs)
        # The output that is a text's embedding; None: the model is for another task.
        self.embedding = _find_embedding(signature) if task == "embedding" else None

    def takes(self, arrays: Arrays) -> bool:
        """Whether these are the arrays of a request with texts."""
        return TEXT in arrays

    def encode(self, texts: NDArray[np.generic]) -> Encoded:
        """The tokens of `texts`, an array of bytes, padded to the longest of them.

        Raises InvalidRequest for over 2048 of them or none, and for what is no UTF-8 or has no tokens."""
        _check_count(len(texts))
        longest = self.max_tokens * _CHARACTERS_PER_TOKEN
        rows: list[list[int]] = []
        types: list[list[int]] = []
        truncated = 0
        for row, content in enumerate(texts.tolist()):
            text = _decode(row, content)
            # One at a time: what the library keeps of a text is hundreds of times its size.
            encoding = self._tokenizer.encode_batch_fast([text[:longest]])[0]
            ids = encoding.ids
            rows.append(ids)
            if self._types:
                types.append(encoding.type_ids)
            if len(text) > longest or (len(ids) == self.max_tokens and encoding.overflowing):
                truncated += 1
        return self._join(rows, types, truncated)

    async def encode_async(self, texts: NDArray[np.generic]) -> Encoded:
        """The same, on a thread of its own where it would hold up the event loop. Raises InvalidRequest."""
        if sum(map(len, texts.tolist())) + _BYTES_FOR_A_TEXT * len(texts) <= _MAX_BYTES_IN_LOOP:
            return self.encode(texts)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.encode, texts)

    def accept_tokens(self, rows: Sequence[list[int]]) -> Encoded:
        """Tokens that the client made itself, special ones included, padded to the longest row.

        Raises InvalidRequest for a row that is empty, too long, or not of this vocabulary."""
        _check_count(len(rows))
        for row, ids in enumerate(rows):
            if len(ids) > self.max_tokens:
                raise InvalidRequest(
                    f"text {row} has {len(ids)} tokens, expected at most {self.max_tokens}; "
                    "send fewer, or the text itself, which is cut to fit"
                )
            if ids and not 0 <= min(ids) <= max(ids) < self._vocabulary:
                raise InvalidRequest(
                    f"text {row} has tokens from {min(ids)} to {max(ids)}, "
                    f"expected 0 to {self._vocabulary - 1}; use this model's own tokenizer, or send the text"
                )
        return self._join(list(rows), [[0] * len(ids) for ids in rows] if self._types else [], 0)

    def _join(self, rows: list[list[int]], types: list[list[int]], truncated: int) -> Encoded:
        lengths = [len(ids) for ids in rows]
        if not all(lengths):
            raise InvalidRequest(f"text {lengths.index(0)} has no tokens; send one that has, or leave it out")
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        arrays: dict[str, NDArray[np.generic]] = {}
        for spec in self._inputs:
            if spec.name == "attention_mask":
                arrays[spec.name] = mask.astype(spec.dtype)
                continue
            values = chain.from_iterable(rows if spec.name == "input_ids" else types)
            arrays[spec.name] = np.full(mask.shape, self.pads[spec.name], spec.dtype)
            arrays[spec.name][mask] = np.fromiter(values, spec.dtype, sum(lengths))
        return Encoded(arrays=arrays, tokens=sum(lengths), truncated_rows=truncated)


def open_text(folder: Path) -> TextInput | None:
    """The tokenizer of the bundle in `folder`, verified; None: the bundle has none. Raises InvalidBundle."""
    bundle = read_bundle(folder)
    if all(file.path != TOKENIZER for file in bundle.files):
        return None
    content = read_file(folder, bundle, TOKENIZER)
    name = f"{bundle.model}/{bundle.variant}/{TOKENIZER}"
    return TextInput(content, bundle.signature, name, bundle.figures.quality.task)


def _check_inputs(signature: Signature, name: str) -> None:
    for spec in signature.inputs:
        varies = len(spec.shape) == 2 and isinstance(spec.shape[1], str)
        if spec.name not in _INPUTS or spec.datatype not in ("INT32", "INT64") or not varies:
            raise InvalidBundle(
                f"{name} stands beside a graph with the input {spec.name!r}, {spec.datatype} "
                f"{spec.wire_shape}; expected INT64 or INT32 [-1, -1], and of these names: "
                f"{', '.join(_INPUTS)}; leave the tokenizer out, or export the model with these inputs"
            )
    if "input_ids" not in signature.input_by_name:
        raise InvalidBundle(
            f"{name} stands beside a graph without the input 'input_ids'; leave the tokenizer out, or export "
            "the model with it"
        )


def _find_embedding(signature: Signature) -> TensorSpec | None:
    vectors = [
        spec
        for spec in signature.outputs
        if spec.datatype in _FLOATS and len(spec.shape) == 2 and isinstance(spec.shape[1], int)
    ]
    return vectors[0] if len(vectors) == 1 else None


def _check_count(texts: int) -> None:
    if not 1 <= texts <= _MAX_TEXTS:
        raise InvalidRequest(
            f"the request has {texts} texts, expected 1 to {_MAX_TEXTS}; send several requests"
        )


def _decode(row: int, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"text {row} is no UTF-8: byte {content[error.start]:#04x} at {error.start}; encode it as UTF-8"
        ) from None
