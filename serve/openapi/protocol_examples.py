"""Examples of the protocol: bodies that work, and the answers to the first of them."""

from typing import Any

# A handwritten zero as an input of the digits model: the rows of an image, with ink as 1.
_ZERO = [
    [0, 0, 1, 1, 1, 0, 0, 0],
    [0, 1, 1, 0, 1, 1, 0, 0],
    *[[0, 1, 0, 0, 0, 1, 0, 0]] * 4,
    [0, 1, 1, 0, 1, 1, 0, 0],
    [0, 0, 1, 1, 1, 0, 0, 0],
]
_IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [[_ZERO]]}

# Description -> body. The models are those of the recipes.
INFER_EXAMPLES: dict[str, Any] = {
    "A handwritten zero": {"inputs": [_IMAGE]},
    "The three most likely digits, within half a second": {
        "id": "zero-1",
        "parameters": {"timeout": 500_000},
        "inputs": [_IMAGE],
        "outputs": [{"name": "logits", "parameters": {"classification": 3}}],
    },
}
EMBEDDINGS_EXAMPLES: dict[str, Any] = {
    "Two texts": {"model": "minilm", "input": ["A cat sat on the mat.", "Stocks fell on Monday."]},
    "One text, by one variant, as base64": {
        "model": "minilm:fp32",
        "input": "A cat sat on the mat.",
        "encoding_format": "base64",
    },
}

# The answers to the first examples.
INFER_ANSWER = {
    "model_name": "digits",
    "model_version": "fp32",
    "outputs": [
        {
            "name": "logits",
            "datatype": "FP32",
            "shape": [1, 10],
            "data": [6.1, -4.2, 1.8, -0.5, -4.7, 1.8, -2.4, -5.2, -0.5, -2.5],
        }
    ],
}
EMBEDDINGS_ANSWER = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.1310, 0.0159, -0.0501]},
        {"object": "embedding", "index": 1, "embedding": [-0.0343, -0.0127, 0.0484]},
    ],
    "model": "minilm:fp32",
    "usage": {"prompt_tokens": 15, "total_tokens": 15},
}
