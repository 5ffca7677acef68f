"""JSON lines become texts and labels."""

from pathlib import Path
from typing import Any

import pytest

from export.data.files.row_file import read_rows
from export.data.files.row_form import RowForm
from export.errors import InvalidData


def read(folder: Path, content: str | bytes, **form: Any) -> Any:
    """Return what a recipe with these settings reads from a file of this content."""
    path = folder / "rows.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path, RowForm.parse(form, "form"))


def test_reads_texts_and_labels(tmp_path: Path) -> None:
    """By default the text has the key `text`; blank lines are skipped."""
    rows = read(tmp_path, '{"text": "good", "label": 1}\n\n{"text": "schlímm", "label": 0}\n', labels="label")
    assert rows.inputs["text"].tolist() == ["good", "schlímm"]
    assert rows.labels.tolist() == [1, 0]


def test_the_text_may_have_another_key(tmp_path: Path) -> None:
    """The recipe may name another key for the text, and further keys are ignored."""
    rows = read(tmp_path, '{"body": "a", "id": 7}\n{"body": "b"}', inputs={"text": "body"})
    assert {name: array.tolist() for name, array in rows.inputs.items()} == {"text": ["a", "b"]}


def test_labels_per_token_are_lists(tmp_path: Path) -> None:
    """Labels per token are a list for each text, of its own length."""
    rows = read(tmp_path, '{"text": "a", "tags": [1]}\n{"text": "a b", "tags": [0, 1]}', labels="tags")
    assert rows.labels.tolist() == [[1], [0, 1]]


def test_a_mark_of_the_byte_order_is_no_text(tmp_path: Path) -> None:
    """A byte order mark at the start of the file is ignored."""
    assert read(tmp_path, b'\xef\xbb\xbf{"text": "a"}\r\n').inputs["text"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        ('{"text": "a"}\n{"text": "b"', {}, r"rows\.jsonl:2 is not JSON: .*one object per line"),
        (b'{"text": "a"}\n{"text": "\xfc"}', {}, r"rows\.jsonl:2 is not UTF-8"),
        ('["a"]', {}, r"rows\.jsonl:1 is \['a'\]; expected one object per line"),
        ('{"txt": "a"}', {}, r"rows\.jsonl:1 has no key 'text'; did you mean 'txt'\?"),
        ('{"text": 3}', {}, r"rows\.jsonl:1: 'text' is 3; expected a text"),
        ('{"text": "a"}', {"labels": "y"}, r"rows\.jsonl:1 has no key 'y'"),
        ('{"text": "a", "y": null}', {"labels": "y"}, r"rows\.jsonl:1: 'y' is None; .*drop rows without"),
        ('{"text": "a", "y": NaN}', {"labels": "y"}, "the label of row 0 is missing"),
        ('{"text": "a", "y": ""}', {"labels": "y"}, "the label of row 0 is missing"),
        (
            '{"text": "a", "y": 1}\n{"text": "b", "y": "cat"}',
            {"labels": "y"},
            r"key y holds 1 in row 0 and 'cat' in row 1",
        ),
        ('{"text": "a"}', {"inputs": {"text": ["a", "b"]}}, "'text' comes from a list"),
    ],
)
def test_refuses(tmp_path: Path, content: str | bytes, form: Any, message: str) -> None:
    """The error names the line or row, and the fault."""
    with pytest.raises(InvalidData, match=message):
        read(tmp_path, content, **form)
