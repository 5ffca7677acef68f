"""Measures minilm's variants and the graphs of other tools on held-out paragraphs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers
from numpy.typing import NDArray
from tqdm import tqdm

from export.bench.graph_speed import compare_speed
from export.bench.report import TextPoint
from export.proof.embedding_similarity import mean_cosine, rank_correlation, similarities
from serve.base.tensor import Arrays
from serve.bundles.graph_session import open_graph

# (texts, tokens): a short and a long request, and batches of both.
SHAPES = ((1, 16), (1, 64), (8, 32), (8, 128))
_BATCH_TEXTS = 8

Embeddings = NDArray[np.float64]


def encode(tokenizer: Path, texts: list[str], batch_texts: int = _BATCH_TEXTS) -> list[Arrays]:
    """Return the texts in batches, each padded to its longest."""
    reader = tokenizers.Tokenizer.from_file(str(tokenizer))
    return [_pad(reader, texts[start : start + batch_texts]) for start in range(0, len(texts), batch_texts)]


def measure_texts(
    graphs: Mapping[str, Path], tools: Mapping[str, str], tokenizer: Path, texts: list[str]
) -> tuple[TextPoint, ...]:
    """Return a point for each graph, of which the first is fp32. `tools` names the tool of each graph that is
    not ours."""
    sessions = {name: open_graph(path) for name, path in graphs.items()}
    batches = encode(tokenizer, texts)
    embeddings = {
        name: embed(session, batches) for name, session in tqdm(sessions.items(), desc="held-out texts")
    }
    speeds = {
        shape: compare_speed(sessions, cut(tokenizer, texts, *shape)) for shape in tqdm(SHAPES, desc="speed")
    }
    base = next(iter(embeddings.values()))
    return tuple(
        TextPoint(
            name=name,
            tool=tools.get(name),
            size_bytes=path.stat().st_size,
            speedups=tuple(speeds[shape][name] for shape in SHAPES),
            cosine=mean_cosine(base, embeddings[name], seed=0).value,
            rank_correlation=_rank(base, embeddings[name]),
            neighbour=float(np.mean(_nearest(base) == _nearest(embeddings[name]))),
        )
        for name, path in graphs.items()
    )


def embed(session: onnxruntime.InferenceSession, batches: list[Arrays]) -> Embeddings:
    """Return the first output of all batches, concatenated."""
    return np.concatenate([session.run(None, dict(batch))[0] for batch in batches]).astype(np.float64)


def cut(tokenizer: Path, texts: list[str], rows: int, tokens: int) -> Arrays:
    """Return inputs with this number of texts, each cut to exactly this number of tokens; texts that are long
    enough are repeated."""
    reader = tokenizers.Tokenizer.from_file(str(tokenizer))
    reader.no_padding()
    long = [ids for item in reader.encode_batch(texts) if len(ids := item.ids) >= tokens]
    chosen = [[*long[row % len(long)][: tokens - 1], long[row % len(long)][-1]] for row in range(rows)]
    return {
        "input_ids": np.array(chosen, np.int64),
        "attention_mask": np.ones((rows, tokens), np.int64),
    }


def _pad(reader: tokenizers.Tokenizer, texts: list[str]) -> Arrays:
    items = reader.encode_batch(texts)
    return {
        "input_ids": np.array([item.ids for item in items], np.int64),
        "attention_mask": np.array([item.attention_mask for item in items], np.int64),
    }


def _rank(base: Embeddings, other: Embeddings) -> float:
    estimate = rank_correlation(base, other, seed=0)
    assert estimate is not None, "there are hundreds of texts"
    return estimate.value


def _nearest(embeddings: Embeddings) -> NDArray[np.int64]:
    """Return the index of each row's nearest neighbour by cosine, excluding itself."""
    similar = similarities(embeddings)
    np.fill_diagonal(similar, -np.inf)
    nearest: NDArray[np.int64] = similar.argmax(1)
    return nearest
