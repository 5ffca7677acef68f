"""Runs in NNCF's own environment: python rival_nncf.py FLOAT.onnx BATCHES.npz OUT.onnx

The archive holds input_ids_<n> and attention_mask_<n>, int64 [texts, tokens], for each batch n."""

import sys

import nncf  # type: ignore[import-not-found]
import numpy as np
import onnx

source, archive, target = sys.argv[1:]
with np.load(archive) as arrays:
    batches = [
        {name: arrays[f"{name}_{number}"] for name in ("input_ids", "attention_mask")}
        for number in range(len(arrays.files) // 2)
    ]
quantized = nncf.quantize(
    onnx.load(source),
    nncf.Dataset(batches),
    model_type=nncf.ModelType.TRANSFORMER,
    subset_size=len(batches),
)
onnx.save(quantized, target)
