"""A session runs its model's known shapes before the first request."""

import logging
import threading
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from serve.engine.placement import LocalPlacement
from serve.engine.session import Session, open_session
from serve.engine.shapes import Shape, Shapes, shapes_path, write_shapes
from tests.conftest import CLASSES, FEATURES, SIGNATURE, linear_graph


def write(path: Path, *shapes: Shape) -> None:
    """Write shapes as other runs do."""
    known = Shapes()
    for shape in shapes:
        known.see(shape)
    write_shapes(path, known)


def rows(count: int) -> Shape:
    """Return the shape of a run of `count` rows of `linear`."""
    return ((count, FEATURES),)


def picky_graph() -> bytes:
    """A graph that takes 8 rows at most: it looks up something in a table by their number."""
    nodes = [
        helper.make_node("Shape", ["x"], ["dims"], start=0, end=1),
        helper.make_node("Gather", ["table", "dims"], ["found"]),
        helper.make_node("MatMul", ["x", "weights"], ["product"]),
        helper.make_node("Add", ["product", "found"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "picky",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", FEATURES))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", CLASSES))],
        [
            helper.make_tensor("table", TensorProto.FLOAT, (9,), [0.0] * 9),
            helper.make_tensor("weights", TensorProto.FLOAT, (FEATURES, CLASSES), [1.0] * FEATURES * CLASSES),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def test_a_bundle_is_opened_with_the_shapes_that_are_known(repository: Path) -> None:
    """A session that is opened runs the known shapes before it is ready."""
    folder = repository / "linear" / "light"
    write(shapes_path(folder, "linear"), rows(3), rows(32))
    assert open_session(folder).warmed == {rows(3), rows(32)}


def test_shapes_are_really_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A shape that the graph refuses is logged, and the session is opened all the same."""
    path = tmp_path / "picky.shapes.json"
    write(path, rows(30), rows(5))
    with caplog.at_level(logging.WARNING, "counterweight.session"):
        session = Session(picky_graph(), SIGNATURE, "picky/base")
        session.warm_from(path)
    assert session.warmed == {rows(30), rows(5)}
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("picky/base is not warm for ((30, 4),): ")


def test_shapes_of_another_signature_are_left_out(tmp_path: Path) -> None:
    """Shapes that do not fit the signature are ignored."""
    path = tmp_path / "linear.shapes.json"
    write(path, rows(2), ((2, 9),), ((2, FEATURES), (2, FEATURES)), ((2, FEATURES, 1),))
    session = Session(linear_graph(1.0), SIGNATURE, "linear/base")
    session.warm_from(path)
    assert session.warmed == {rows(2)}


def test_opening_takes_only_so_much_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening stops running shapes after a time limit and leaves the rest for later."""
    monkeypatch.setattr("serve.engine.session._WARM_S", 0.0)
    path = tmp_path / "linear.shapes.json"
    write(path, rows(2), rows(7))
    session = Session(linear_graph(1.0), SIGNATURE, "linear/base")
    session.warm_from(path)
    assert session.warmed == set()
    assert session.take_cold() == [rows(7), rows(2)]
    assert session.take_cold() == []


def test_a_variant_that_serves_runs_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A serving variant runs each new shape once in its own threads, and none after it has closed."""
    path = tmp_path / "linear.shapes.json"
    session = Session(linear_graph(1.0), SIGNATURE, "linear/base")
    session.warm_from(path)
    placement = LocalPlacement(session)
    placement.warm()
    assert session.warmed == set()
    write(path, rows(2), rows(7))
    ran: list[tuple[str, Shape]] = []
    warm = session.warm

    def noted(shape: Shape) -> None:
        ran.append((threading.current_thread().name, shape))
        warm(shape)

    monkeypatch.setattr(session, "warm", noted)
    placement.warm()
    placement.warm()
    placement._threads.shutdown(wait=True)
    assert ran == [("onnx-linear/base_0", rows(7)), ("onnx-linear/base_0", rows(2))]
    placement.close()
    write(path, rows(30))
    placement.warm()
