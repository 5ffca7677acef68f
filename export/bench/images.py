"""Measures digits-resnet's variants on held-out digits."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export.bench.graph_speed import compare_speed
from export.bench.report import ImagePoint
from export.recipes.digits_resnet import digits_resnet_data
from serve.bundles.bundle import Bundle
from serve.bundles.graph_session import open_graph

BATCHES = (1, 8, 32)


def measure_images(graphs: Mapping[str, Path], bundles: Mapping[str, Bundle]) -> tuple[ImagePoint, ...]:
    """Return a point for each variant, fp32 first, with the speed measured here and the accuracy from its
    bundle."""
    images = digits_resnet_data()["held_out"][0]["image"]
    sessions = {name: open_graph(path) for name, path in graphs.items()}
    speeds = {
        rows: compare_speed(sessions, {"image": np.ascontiguousarray(images[:rows])}) for rows in BATCHES
    }
    points = []
    for name, path in graphs.items():
        accuracy = bundles[name].figures.quality.accuracy
        assert accuracy is not None, "digits have labels"
        speedups = tuple(speeds[rows][name] for rows in BATCHES)
        points.append(
            ImagePoint(name=name, size_bytes=path.stat().st_size, speedups=speedups, accuracy=accuracy)
        )
    return tuple(points)
