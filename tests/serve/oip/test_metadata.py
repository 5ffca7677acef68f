from serve.base.routing import Routes
from serve.base.settings import Settings
from serve.base.tensor import Signature, TensorSpec
from serve.engine.model import ServedModel
from serve.oip.metadata import describe_model, model_config, model_metadata, server_metadata
from tests.serve import texts

OUTPUT = TensorSpec(name="embedding", datatype="FP32", shape=("batch", 384))
GRAPH = Signature(
    inputs=(TensorSpec(name="input_ids", datatype="INT64", shape=("batch", "tokens")),), outputs=(OUTPUT,)
)
TEXT = Signature(inputs=(TensorSpec(name="text", datatype="BYTES", shape=("batch",)),), outputs=(OUTPUT,))


def test_the_server_tells_only_what_works() -> None:
    """The metadata list only the extensions that work."""
    metadata = server_metadata()
    assert metadata["name"] == "counterweight"
    assert metadata["version"]
    assert "binary_tensor_data" in metadata["extensions"]
    assert not {"sequence", "system_shared_memory", "trace", "logging"} & set(metadata["extensions"])


def test_a_model_shows_its_first_form() -> None:
    """The metadata of a text model shows its text input."""
    assert model_metadata("minilm", (TEXT, GRAPH), ["fp32", "int8"]) == {
        "name": "minilm",
        "versions": ["fp32", "int8"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, 384]}],
    }


def test_a_model_of_texts_names_the_longest() -> None:
    """The metadata of a text model gives the number of tokens to which a text is cut."""
    routes = Routes(model="words", baseline="base", weights={"base": 1})
    model = ServedModel(texts.SIGNATURE, routes, Settings(), texts.text_input())
    model.longest = {"tokens": 512}
    told = describe_model(model, ["base"], 1000, whole=True)
    assert told["parameters"] == {"max_body_bytes": 1000, "max_tokens": 128}


def test_a_configuration_leaves_out_the_batch() -> None:
    """The configuration has Triton's names of the datatypes and dimensions without the batch."""
    assert model_config("minilm", (TEXT, GRAPH), 32) == {
        "name": "minilm",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"all": {}},
        "max_batch_size": 32,
        "input": [{"name": "text", "data_type": "TYPE_STRING", "dims": []}],
        "output": [{"name": "embedding", "data_type": "TYPE_FP32", "dims": [384]}],
    }


def test_a_model_without_a_batch_has_whole_shapes() -> None:
    """A model without a batch dimension has whole shapes and a maximum batch size of 0."""
    fixed = Signature(
        inputs=(TensorSpec(name="x", datatype="INT8", shape=(1, "length")),),
        outputs=(TensorSpec(name="y", datatype="BF16", shape=(1,)),),
    )
    config = model_config("fixed", (fixed,), 32)
    assert config["max_batch_size"] == 0
    assert config["input"] == [{"name": "x", "data_type": "TYPE_INT8", "dims": [1, -1]}]
    assert config["output"] == [{"name": "y", "data_type": "TYPE_BF16", "dims": [1]}]
