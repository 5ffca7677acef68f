"""A graph loaded into ONNX Runtime."""

import ctypes
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from serve.base.errors import InvalidBundle, InvalidRequest, ModelFailed
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.bundles.bundle import read_bundle
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph, read_graph
from serve.engine.batch import split_rows, stack_rows
from serve.engine.shapes import Shape, read_shapes, shapes_path

# The code of BFLOAT16 in onnx.TensorProto.
_BFLOAT16 = 16
# (rows, length of each other free dimension without a known size): a single request, a batch.
_WARM_UPS = ((1, 16), (8, 32))
# The most time for warming up with shapes of earlier runs, the largest first.
_WARM_S = 10.0
_log = logging.getLogger("counterweight.session")


class Session:
    """One graph, loaded and warmed up. Runs arrays, one call at a time."""

    def __init__(  # noqa: PLR0913 - the graph and its run options
        self,
        graph: Graph,
        signature: Signature,
        name: str,
        *,
        threads: int = 1,
        alone: bool = False,
        sizes: Mapping[str, int] | None = None,
        ranges: Mapping[str, tuple[int, int]] | None = None,
        longest: Mapping[str, int] | None = None,
    ) -> None:
        """Load `graph`; messages call it `name`. With `alone`, each row is run by itself, a text without its
        padding. `sizes` has sizes of free dimensions that the graph accepts; `ranges` and `longest` are only
        stored. Raises InvalidBundle if `signature` is not the graph's, and ModelFailed if the graph does not
        run."""
        self.signature = signature
        self.name = name
        self.alone = alone
        self.sizes = dict(sizes or {})
        self.ranges = dict(ranges or {})
        self.longest = dict(longest or {})
        # The shapes of earlier runs that have been run for warm-up, or will be.
        self.warmed: set[Shape] = set()
        self._shapes: Path | None = None
        try:
            self._session = open_graph(graph, threads=threads)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise InvalidBundle(f"{name}: onnxruntime refuses the graph: {error}") from error
        self._outputs = list(signature.output_names)
        self._string_inputs = _names_of("BYTES", signature.inputs)
        self._string_outputs = _names_of("BYTES", signature.outputs)
        self._bfloat16 = {*_names_of("BF16", signature.inputs), *_names_of("BF16", signature.outputs)}
        self._check_names()
        self._warm_up()

    def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """The model's outputs by name. In inputs and outputs, BYTES are objects of bytes and BF16 is uint16.

        Raises InvalidRequest for BYTES that are not UTF-8, and ModelFailed if the graph fails."""
        if not self.alone:
            return self._run(arrays)
        return stack_rows(
            self.signature, arrays, [self._run(row) for row in split_rows(self.signature, arrays)]
        )

    def _run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        feed = dict(arrays)
        for name in self._string_inputs:
            feed[name] = _to_strings(name, feed[name])
        try:
            results = self._run_bfloat16(feed) if self._bfloat16 else self._session.run(self._outputs, feed)
        except Exception as error:
            raise ModelFailed(f"{self.name} failed on a valid input: {error}") from error
        outputs = dict(zip(self._outputs, results, strict=True))
        for name in self._string_outputs:
            outputs[name] = _to_bytes(outputs[name])
        return outputs

    def warm_from(self, shapes: Path) -> None:
        """Warm up with the shapes in this file, which earlier runs of the model had, for a limited time.
        Later shapes stay cold until `take_cold` returns them."""
        self._shapes = shapes
        until = time.monotonic() + _WARM_S
        while time.monotonic() < until and (left := self.take_cold(1)):
            self.warm(left[0])

    def take_cold(self, most: int | None = None) -> list[Shape]:
        """The shapes of the model's runs that have not been used for warm-up; the largest first, at most
        `most`. Marks them as used."""
        shapes = () if self._shapes is None else read_shapes(self._shapes)
        cold = [shape for shape in shapes if shape not in self.warmed and self._takes(shape)][:most]
        self.warmed.update(cold)
        return cold

    def warm(self, shape: Shape) -> None:
        """Run zeros of this shape, so that no request pays for a first run. Logs a failure."""
        try:
            pairs = zip(self.signature.inputs, shape, strict=True)
            self.run({spec.name: zeros(spec, list(dims)) for spec, dims in pairs})
        except ModelFailed as error:
            _log.warning("%s is not warm for %s: %s", self.name, shape, error)

    def _run_bfloat16(self, feed: dict[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Run through onnxruntime's own values: numpy has no bfloat16, so its bits are passed as uint16."""
        # The values point into these arrays, which must be contiguous.
        arrays = {name: np.asarray(array, order="C") for name, array in feed.items()}
        values = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, _BFLOAT16)
            if name in self._bfloat16
            else onnxruntime.OrtValue.ortvalue_from_numpy(array)
            for name, array in arrays.items()
        }
        results = self._session.run_with_ort_values(self._outputs, values)
        return [
            _bits_of(value) if name in self._bfloat16 else value.numpy()
            for name, value in zip(self._outputs, results, strict=True)
        ]

    def _check_names(self) -> None:
        graph = (
            {item.name for item in self._session.get_inputs()},
            {item.name for item in self._session.get_outputs()},
        )
        manifest = (set(self.signature.input_by_name), set(self.signature.output_names))
        if graph != manifest:
            raise InvalidBundle(
                f"{self.name}: the graph has inputs and outputs {graph}, its signature says {manifest}"
            )

    def _warm_up(self) -> None:
        # The first runs allocate memory; no request should pay for that.
        guessed = self._free - self.sizes.keys() - {self._batch}
        for rows, length in _WARM_UPS:
            try:
                self.run(self.example(rows, length))
            except ModelFailed as error:
                if not guessed:
                    raise
                # The sizes were guessed, so the graph may not accept them.
                _log.warning("%s is not warm: %s", self.name, error)
                return

    def example(self, rows: int = 1, length: int = _WARM_UPS[0][1]) -> dict[str, NDArray[np.generic]]:
        """Zeros that the graph accepts: `rows` rows; other free dimensions as in its bundle, or `length`."""
        sizes = dict.fromkeys(self._free, length) | self.sizes
        if self._batch is not None:
            sizes[self._batch] = rows
        return {
            spec.name: zeros(spec, [dim if isinstance(dim, int) else sizes[dim] for dim in spec.shape])
            for spec in self.signature.inputs
        }

    @property
    def _batch(self) -> str | None:
        """The dimension of the rows; None if they are not batched."""
        return str(self.signature.inputs[0].shape[0]) if self.signature.batches else None

    @property
    def _free(self) -> set[str]:
        """The input dimensions that may vary."""
        return {dim for spec in self.signature.inputs for dim in spec.shape if isinstance(dim, str)}

    def _takes(self, shape: Shape) -> bool:
        """Whether this shape fits the present inputs, not those of an older version."""
        inputs = self.signature.inputs
        return len(shape) == len(inputs) and all(
            len(dims) == len(spec.shape)
            and all(
                isinstance(dim, str) or dim == length for dim, length in zip(spec.shape, dims, strict=True)
            )
            for spec, dims in zip(inputs, shape, strict=True)
        )


def open_session(folder: Path, *, threads: int = 1) -> Session:
    """Verify and load the bundle in `folder`. Raises InvalidBundle if it differs from its manifest."""
    bundle = read_bundle(folder)
    graph = read_graph(folder, bundle)
    name, alone = f"{bundle.model}/{bundle.variant}", bundle.rows == "alone"
    session = Session(
        graph,
        bundle.signature,
        name,
        threads=threads,
        alone=alone,
        sizes=bundle.sizes,
        ranges=bundle.ranges,
        longest=bundle.longest,
    )
    session.warm_from(shapes_path(folder, bundle.model))
    return session


def _names_of(datatype: str, specs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    return tuple(spec.name for spec in specs if spec.datatype == datatype)


def zeros(spec: TensorSpec, shape: Sequence[int]) -> NDArray[np.generic]:
    """A dummy input of this shape; strings are "0"."""
    # A string that a graph may parse as a number.
    return np.full(shape, b"0", object) if spec.datatype == "BYTES" else np.zeros(shape, spec.dtype)


def _to_strings(name: str, array: NDArray[np.generic]) -> NDArray[np.generic]:
    # onnxruntime takes str and would turn bytes into "b'...'". Rows of an export are str already.
    elements = array.ravel().tolist()
    try:
        strings = np.fromiter(
            (element if isinstance(element, str) else element.decode() for element in elements),
            object,
            len(elements),
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"input {name!r} has an element that is not UTF-8: {error.object!r:.40}; encode it as UTF-8"
        ) from None
    return strings.reshape(array.shape)


def _to_bytes(array: NDArray[np.generic]) -> NDArray[np.generic]:
    elements = array.ravel().tolist()
    contents = np.fromiter((element.encode() for element in elements), object, len(elements))
    return contents.reshape(array.shape)


def _bits_of(value: onnxruntime.OrtValue) -> NDArray[np.generic]:
    shape = value.shape()
    # onnxruntime has no other way to return bfloat16. Copied, because the memory belongs to `value`.
    size = int(np.prod(shape)) * np.dtype(np.uint16).itemsize
    return np.frombuffer(ctypes.string_at(value.data_ptr(), size), np.uint16).reshape(shape)
