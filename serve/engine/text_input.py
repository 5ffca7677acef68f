"""Turn strings into token arrays, for a model with a tokenizer beside its graph."""

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
from serve.bundles.meaning import Task
from serve.tasks.task_table import TASKS

TOKENIZER = "tokenizer.json"
TEXT = "text"
# One thread per text, because the other cores belong to the models. The library reads this when it encodes.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The limit of OpenAI's API.
_MAX_TEXTS = 2048
# Twelve times the average of prose. Longer texts would cost seconds and gigabytes, and the model would almost
# never see their end: only if most of it is blank, or consists of words that the vocabulary lacks.
_CHARACTERS_PER_TOKEN = 64
# This takes about 2 ms. Longer work moves to a thread, so that other requests do not wait.
_MAX_BYTES_IN_LOOP = 4096
# The cost of a text in addition to its bytes, in bytes.
_BYTES_FOR_A_TEXT = 32
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_FLOATS = ("FP16", "FP32", "FP64")


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """Texts as the inputs of the graph."""

    arrays: Arrays
    # Including special tokens, without padding.
    tokens: int
    # The number of texts that were too long and were truncated.
    truncated_rows: int

    @property
    def parameters(self) -> dict[str, int]:
        """The parameters for the answer; empty if nothing was truncated."""
        return {"truncated_rows": self.truncated_rows} if self.truncated_rows else {}


class TextInput:
    """The tokenizer of one model; can be used from several threads. Equal texts give equal tokens.

    A text is truncated to `max_tokens`, as when the model was measured, and at most 64 characters per token
    are read; `Encoded` has the number of truncated texts."""

    def __init__(self, content: bytes, signature: Signature, name: str, task: Task) -> None:
        """Load the content of a tokenizer.json, which must set truncation and padding; messages call it
        `name`.

        Raises InvalidBundle if it does not, or if the graph has an input that a tokenizer cannot provide."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content.decode())
        except Exception as error:  # the Rust library raises plain Exception
            raise InvalidBundle(f"{name} is not a tokenizer: {error}; export the variant again") from None
        cut, padding = self._tokenizer.truncation, self._tokenizer.padding
        if not cut or not padding or {cut["direction"], padding["direction"]} != {"right"}:
            raise InvalidBundle(
                f"{name} sets truncation {cut} and padding {padding}, expected both, on the right; "
                "export the variant again"
            )
        _check_inputs(signature, name)
        # The digest of the content: tokenizers with equal digests give equal tokens.
        self.digest = sha256(content)
        # Rows are padded in `_join`, only to the longest one of the request.
        self._tokenizer.no_padding()
        self._inputs = signature.inputs
        self._types = "token_type_ids" in signature.input_by_name
        self._vocabulary = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"text-{name}")
        self.max_tokens: int = cut["max_length"]
        pads = {"input_ids": padding["pad_id"], "token_type_ids": padding["pad_type_id"], "attention_mask": 0}
        # Input of the graph -> the padding value for rows that are shorter than others of the run.
        self.pads: dict[str, int] = {spec.name: pads[spec.name] for spec in signature.inputs}
        # The signature of a request with texts: one string per row.
        texts = TensorSpec(name=TEXT, datatype="BYTES", shape=signature.inputs[0].shape[:1])
        self.form = Signature(inputs=(texts,), outputs=signature.outputs)
        # The output with the embedding of a text; None: the model has another task.
        self.embedding = _find_embedding(signature) if TASKS[task].rule == "vectors" else None

    def takes(self, arrays: Arrays) -> bool:
        """Whether these arrays belong to a request with texts."""
        return TEXT in arrays

    def encode(self, texts: NDArray[np.generic]) -> Encoded:
        """Tokenize `texts`, an array of bytes, and pad to the longest.

        Raises InvalidRequest for no text or more than 2048, for bytes that are not UTF-8, and for a text
        without tokens."""
        _check_count(len(texts))
        longest = self.max_tokens * _CHARACTERS_PER_TOKEN
        rows: list[list[int]] = []
        types: list[list[int]] = []
        truncated = 0
        for row, content in enumerate(texts.tolist()):
            text = _decode(row, content)
            # One at a time: the library uses hundreds of times the size of a text as memory.
            encoding = self._tokenizer.encode_batch_fast([text[:longest]])[0]
            ids = encoding.ids
            rows.append(ids)
            if self._types:
                types.append(encoding.type_ids)
            if len(text) > longest or (len(ids) == self.max_tokens and encoding.overflowing):
                truncated += 1
        return self._join(rows, types, truncated)

    async def encode_async(self, texts: NDArray[np.generic]) -> Encoded:
        """Like `encode`, in a thread if it would block the event loop for long. Raises InvalidRequest."""
        if sum(map(len, texts.tolist())) + _BYTES_FOR_A_TEXT * len(texts) <= _MAX_BYTES_IN_LOOP:
            return self.encode(texts)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.encode, texts)

    def accept_tokens(self, rows: Sequence[list[int]]) -> Encoded:
        """Take tokens from the client, including special ones, and pad to the longest row.

        Raises InvalidRequest for a row that is empty, too long, or has tokens outside the vocabulary."""
        _check_count(len(rows))
        for row, ids in enumerate(rows):
            if len(ids) > self.max_tokens:
                raise InvalidRequest(
                    f"text {row} has {len(ids)} tokens, expected at most {self.max_tokens}; "
                    "send fewer, or the text itself, which is truncated"
                )
            if ids and not 0 <= min(ids) <= max(ids) < self._vocabulary:
                raise InvalidRequest(
                    f"text {row} has tokens from {min(ids)} to {max(ids)}, expected 0 to "
                    f"{self._vocabulary - 1}; use the tokenizer of this model, or send the text"
                )
        return self._join(list(rows), [[0] * len(ids) for ids in rows] if self._types else [], 0)

    def _join(self, rows: list[list[int]], types: list[list[int]], truncated: int) -> Encoded:
        lengths = [len(ids) for ids in rows]
        if not all(lengths):
            raise InvalidRequest(f"text {lengths.index(0)} has no tokens; send another text, or leave it out")
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
    """The verified tokenizer of the bundle in `folder`; None if it has none. Raises InvalidBundle."""
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
                f"{name} belongs to a graph with the input {spec.name!r}, {spec.datatype} "
                f"{spec.wire_shape}; expected INT64 or INT32 [-1, -1], with one of the names "
                f"{', '.join(_INPUTS)}; leave the tokenizer out, or export the model with these inputs"
            )
    if "input_ids" not in signature.input_by_name:
        raise InvalidBundle(
            f"{name} belongs to a graph without the input 'input_ids'; leave the tokenizer out, or export "
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
            f"text {row} is not UTF-8: byte {content[error.start]:#04x} at {error.start}; encode it as UTF-8"
        ) from None
