"""Finds the files in which an ONNX graph has its weights, without the onnx package, which servers lack."""

from collections.abc import Iterator

# Numbers of fields in onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): message -> field
# -> the message that it holds.
_FIELDS = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node"},
    "Node": {5: "Attribute"},
    "Attribute": {
        **{5: "Tensor", 10: "Tensor", 6: "Graph", 11: "Graph"},
        **{22: "SparseTensor", 23: "SparseTensor"},
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}
_KEY, _VALUE = 1, 2
_LOCATION = b"location"


def find_locations(content: bytes) -> set[str]:
    """Return the paths of all other files in which tensors of the graph have their data, as the graph has
    them. Raises ValueError if the content is not in protobuf's form."""
    # Most graphs have none, and only those that do are read.
    if _LOCATION not in content:
        return set()
    return set(_locations(memoryview(content), "Model"))


def _locations(message: memoryview, kind: str) -> Iterator[str]:
    if kind == "Entry":
        fields = dict(_fields(message))
        if bytes(fields.get(_KEY, b"")) == _LOCATION:
            yield bytes(fields.get(_VALUE, b"")).decode(errors="replace")
        return
    for number, value in _fields(message):
        if number in _FIELDS[kind]:
            yield from _locations(value, _FIELDS[kind][number])


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and content of each field that has a size."""
    place = 0
    while place < len(message):
        tag, place = _read_number(message, place)
        match tag & 7:  # the wire type: a number, 8 bytes, a size and its content, 4 bytes
            case 0:
                _, place = _read_number(message, place)
            case 1:
                place += 8
            case 2:
                size, place = _read_number(message, place)
                yield tag >> 3, message[place : place + size]
                place += size
            case 5:
                place += 4
            case wire_type:
                raise ValueError(f"wire type {wire_type} at byte {place} is not protobuf's")


def _read_number(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number at this place, seven bits a byte with the lowest first, and the place after it."""
    number = shift = 0
    while place < len(message):
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place
    raise ValueError("the content ends within a number")
