"""Which rows the server may run together is tested before a bundle is written."""

from pathlib import Path

import numpy as np
import pytest
import tokenizers
import yaml
from onnx import TensorProto, helper

from export.errors import ExportFailed
from export.pipeline import ExportOutcome, run
from serve.bundles.labels_file import read_labels
from serve.engine.session import open_session
from serve.engine.text_input import open_text
from tests.export.graphs import Builder, lstm_graph, value
from tests.export.onnx_files import FLOAT, STRING, file_of

_DATA = """
import numpy as np
def make():
    rows = np.random.default_rng(0).normal(0, 1, (120, *{shape})).astype(np.float32)
    parts = {{"calibration": rows[:30], "search": rows[30:60], "held_out": rows[60:]}}
    return {{name: ({{"{name}": part}}, None) for name, part in parts.items()}}
"""


def export(
    folder: Path, graph: bytes, name: str, shape: tuple[int, ...], steps: list[object], **source: object
) -> ExportOutcome:
    """Export the graph as `fp32`, and as `small` if there are steps, with rows of this shape, or with the
    data that the folder has."""
    (folder / "graph.onnx").write_bytes(graph)
    data = folder / f"{name}_data.py"
    if not data.exists():
        data.write_text(_DATA.format(shape=shape, name=name))
    recipe = {
        "model": "mixed",
        "source": {"onnx": "graph.onnx", **source},
        "data": {"factory": f"{name}_data:make"},
        "outputs": ["scores"],
        "floor": {"agreement": 0.1},
        "variants": {"fp32": [], "small": steps} if steps else {"fp32": []},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run(folder / "recipe.yaml", folder / "models")


def test_a_baseline_whose_rows_see_each_other_is_refused(tmp_path: Path) -> None:
    """A baseline that mixes rows is refused, and nothing is written."""
    build = Builder()
    build.add("Softmax", build.add("MatMul", "mixing", build.weight("w", 6, 3)), output="scores", axis=0)
    graph = build.finish(
        [value("mixing", TensorProto.FLOAT, "batch", 6)], [value("scores", TensorProto.FLOAT, "batch", 3)]
    )
    with pytest.raises(
        ExportFailed, match=r"\(other rows change the answer, first in Softmax 'node_scores'\)"
    ):
        export(tmp_path, graph, "mixing", (6,), [])
    assert not (tmp_path / "models" / "mixed" / "fp32").exists()


def test_rows_that_quantization_has_tied_together_are_served_alone(tmp_path: Path) -> None:
    """A quantized LSTM mixes rows, so its bundle has `rows: alone` and a full batch of 1."""
    steps: list[object] = [{"step": "quantize", "method": "dynamic"}]
    bundles = export(tmp_path, lstm_graph(), "steps", (5, 6), steps).model.bundles
    assert {name: bundle.rows for name, bundle in bundles.items()} == {"fp32": "together", "small": "alone"}
    assert bundles["small"].full_rows(0) == 1
    assert {name: bundle.mixed_by for name, bundle in bundles.items()} == {
        "fp32": None,
        "small": "DynamicQuantizeLSTM 'node_lstm'",
    }


def test_a_graph_is_warmed_up_with_the_size_of_its_rows(tmp_path: Path) -> None:
    """A graph that accepts only multiples of 32 is warmed up with the size of its rows."""
    build = Builder()
    down = build.add("Conv", "image", build.weight("a", 4, 3, 1, 1), strides=[16, 16])
    deep = build.add("Conv", down, build.weight("b", 4, 4, 1, 1), strides=[2, 2])
    up = build.add("Resize", deep, "", build.constant("twice", np.array([1, 1, 2, 2], np.float32)))
    pooled = build.add("GlobalAveragePool", build.add("Concat", down, up, axis=1))
    build.add("MatMul", build.add("Flatten", pooled), build.weight("w", 8, 4), output="scores")
    shape = ("batch", 3, "height", "width")
    graph = build.finish(
        [value("image", TensorProto.FLOAT, *shape)], [value("scores", TensorProto.FLOAT, "batch", 4)]
    )
    bundle = export(tmp_path, graph, "image", (3, 32, 64), []).model.bundles["fp32"]
    assert bundle.signature.inputs[0].shape == shape
    assert bundle.sizes == {"height": 32, "width": 64}


_TABLE = """
import numpy as np
def make():
    random = np.random.default_rng(0)
    age, sex = random.random((120, 1)).astype(np.float32), random.choice(["male", "female"], (120, 1))
    age[[0, 70]], sex[[0, 70], 0] = np.nan, ["male", "female"]
    places = {"calibration": slice(0, 30), "search": slice(30, 60), "held_out": slice(60, 120)}
    return {name: ({"age": age[place], "sex": sex[place]}, None) for name, place in places.items()}
"""


def test_a_table_with_words_and_gaps_is_exported(tmp_path: Path) -> None:
    """A graph with a column of strings and NaN, as scikit-learn's converter writes it, is exported."""
    nodes = [
        helper.make_node(
            "LabelEncoder", ["sex"], ["code"], domain="ai.onnx.ml", keys_strings=["female", "male"],
            values_floats=[1.0, 0.0], default_float=0.5,
        ),
        helper.make_node(
            "Imputer", ["age"], ["known"], domain="ai.onnx.ml", imputed_value_floats=[0.5],
            replaced_value_float=float("nan"),
        ),
        helper.make_node("Concat", ["known", "code"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "w"], ["scores"]),
    ]  # fmt: skip
    inputs = [("age", FLOAT, ["n", 1]), ("sex", STRING, ["n", 1])]
    weights = {"w": np.array([[1, -1], [-1, 1]], np.float32)}
    graph = file_of(nodes, inputs, [("scores", FLOAT, ["n", 2])], weights, standard=17, ml=3)
    (tmp_path / "table_data.py").write_text(_TABLE)
    bundle = export(tmp_path, graph, "table", (), []).model.bundles["fp32"]
    assert [spec.datatype for spec in bundle.signature.inputs] == ["FP32", "BYTES"]
    table = {"age": np.array([[np.nan], [1]], np.float32), "sex": np.array([[b"female"], [b"male"]], object)}
    came = open_session(tmp_path / "models" / "mixed" / "fp32").run(table)["scores"]
    assert came.tolist() == [[-0.5, 0.5], [1, -1]]


def _text_file(positions: int) -> bytes:
    """Return the graph of a text classifier with this number of positions: the mean of word and position
    vectors."""
    build = Builder()
    build.constant("axis", np.array([1]))
    build.constant("last", np.array([2]))
    # Padding tokens get the position of the row's last token.
    number = build.add("Sub", build.add("CumSum", "attention_mask", "axis"), "axis")
    place = build.add("Gather", build.weight("places", positions, 3), number)
    words = build.add("Gather", build.weight("words", 30, 3, scale=3), "input_ids")
    mask = build.add("Unsqueeze", build.add("Cast", "attention_mask", to=int(TensorProto.FLOAT)), "last")
    sums = build.add("ReduceSum", build.add("Mul", build.add("Add", words, place), mask), "axis", keepdims=0)
    build.add("Div", sums, build.add("ReduceSum", mask, "axis", keepdims=0), output="scores")
    ids = [value(name, TensorProto.INT64, "n", "s") for name in ("input_ids", "attention_mask")]
    return build.finish(ids, [value("scores", TensorProto.FLOAT, "n", 3)])


_TEXTS = """
import random
def make():
    r = random.Random(0)
    texts = [" ".join(f"w{r.randrange(28)}" for _ in range(r.randint(4, 12))) for _ in range(120)]
    parts = {"calibration": texts[:30], "search": texts[30:60], "held_out": texts[60:]}
    return {name: ({"text": part}, None) for name, part in parts.items()}
"""


def export_texts(folder: Path, positions: int, labels: str) -> ExportOutcome:
    """Export such a file with its tokenizer and class names; texts are cut after 40 tokens."""
    words = {"[PAD]": 0, "[UNK]": 1, **{f"w{number}": number + 2 for number in range(28)}}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "names.json").write_text(labels)
    name = f"texts{positions}{len(labels)}"
    (folder / f"{name}_data.py").write_text(_TEXTS)
    return export(
        folder, _text_file(positions), name, (), [],
        tokenizer="tokenizer.json", max_tokens=40, labels="names.json",
    )  # fmt: skip


def test_a_file_with_a_tokenizer_answers_texts(tmp_path: Path) -> None:
    """The bundle of a file with a tokenizer opens with texts as input and class names as output."""
    export_texts(tmp_path, 40, '["bad", "so so", "good"]')
    folder = tmp_path / "models" / "mixed" / "fp32"
    text = open_text(folder)
    assert text is not None
    assert text.encode(np.array([b"w1 w2"], object)).arrays["input_ids"].tolist() == [[3, 4]]
    assert read_labels(folder) == ("bad", "so so", "good")


def test_a_file_that_fails_on_its_longest_text_is_refused(tmp_path: Path) -> None:
    """A file that fails on a text of the maximum length is refused, even if the data have none."""
    with pytest.raises(ExportFailed, match=r"fails on a text of 40 tokens.*lower `source.max_tokens`"):
        export_texts(tmp_path, 20, '["bad", "so so", "good"]')


def test_names_of_other_classes_are_refused(tmp_path: Path) -> None:
    """A wrong number of class names is refused with both numbers."""
    with pytest.raises(ExportFailed, match="2 classes have a name, from bad to good, and the output scores"):
        export_texts(tmp_path, 40, '["bad", "good"]')


def test_rows_in_another_order_are_compared_row_by_row(tmp_path: Path) -> None:
    """A data factory may return the same rows in another order for a later export: the baseline answers them
    again, and a variant of it agrees."""
    build = Builder()
    build.add("MatMul", "shuffled", build.weight("w", 6, 3), output="scores")
    graph = build.finish(
        [value("shuffled", TensorProto.FLOAT, "batch", 6)], [value("scores", TensorProto.FLOAT, "batch", 3)]
    )
    (tmp_path / "shuffled_data.py").write_text(
        _DATA.format(shape=(6,), name="shuffled").replace("rows[60:]", "rows[60:][::STEP]")
        + "\nfrom pathlib import Path\nSTEP = 1\n_same = make\ndef make():\n    global STEP\n"
        + "    STEP = int((Path(__file__).parent / 'step').read_text())\n    return _same()\n"
    )
    for step, steps in ((1, []), (-1, [{"step": "quantize", "method": "weights"}])):
        (tmp_path / "step").write_text(str(step))
        outcome = export(tmp_path, graph, "shuffled", (6,), list(steps))
    assert outcome.status == {"fp32": "unchanged", "small": "built"}
    agreement = outcome.model.bundles["small"].figures.quality.agreement
    assert agreement is not None
    assert agreement.value > 0.9
