"""The shapes that runs have had."""

from pathlib import Path

from serve.engine.shapes import Shape, Shapes, read_shapes, shapes_path, write_shapes


def seen(*rows: int) -> Shapes:
    """Return shapes that have seen runs of these numbers of rows, each with four numbers."""
    shapes = Shapes()
    for count in rows:
        shapes.see(((count, 4),))
    return shapes


def test_of_alike_shapes_the_largest_is_kept() -> None:
    """Of similar shapes the largest is kept, and the largest comes first."""
    assert seen(1, 5, 7, 6, 32, 17).known == (((32, 4),), ((7, 4),), ((1, 4),))


def test_every_input_and_every_dimension_counts() -> None:
    """Shapes that differ in any dimension of an input are different kinds."""
    shapes = Shapes()
    long, short = ((8, 128), (8, 128)), ((8, 16), (8, 16))
    assert [shapes.see(short), shapes.see(long), shapes.see(short)] == [True, True, False]
    assert shapes.known == (long, short)


def test_of_many_kinds_the_oldest_is_forgotten_until_it_comes_again() -> None:
    """Of 72 shapes the 64 newest are kept, and a forgotten shape is kept again when it returns."""
    shapes = Shapes()
    kinds: list[Shape] = [((2**power, 2**other),) for power in range(9) for other in range(8)]
    for kind in kinds:
        shapes.see(kind)
    assert len(shapes.known) == 64
    assert kinds[0] not in shapes.known
    assert shapes.see(kinds[0])
    assert kinds[0] in shapes.known


def test_they_come_back_from_a_file(tmp_path: Path) -> None:
    """Shapes are the same after a round trip through a file; without a file there are none."""
    path = shapes_path(tmp_path / "linear.light.0123", "linear")
    assert read_shapes(path) == ()
    write_shapes(path, seen(3, 8))
    assert read_shapes(path) == (((8, 4),), ((3, 4),))
    assert [each.name for each in tmp_path.iterdir()] == ["linear.shapes.json"]
