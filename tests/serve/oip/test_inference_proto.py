from google.protobuf.descriptor import Descriptor
from tritonclient.grpc import service_pb2

from serve.oip import inference_pb2

# Fields that are added to the protocol; a client that does not know them skips them.
_ADDED = {
    "ModelMetadataResponse": {"parameters": 6, "unserved": 100},
    "TensorMetadata": {"example_shape": 100},
}


def compare(ours: Descriptor, theirs: Descriptor) -> None:
    """Assert that every field of ours is theirs (number, type, whether it repeats) or skipped by them."""
    added = {field.name: field.number for field in ours.fields if field.name not in theirs.fields_by_name}
    assert added == _ADDED.get(ours.name, {})
    assert not set(added.values()) & {field.number for field in theirs.fields}
    for field in ours.fields:
        if field.name in added:
            continue
        other = theirs.fields_by_name[field.name]
        assert (field.number, field.type, field.is_repeated) == (other.number, other.type, other.is_repeated)
        if field.message_type is not None and other.message_type is not None:
            compare(field.message_type, other.message_type)
        if field.enum_type is not None and other.enum_type is not None:
            numbers = {value.name: value.number for value in field.enum_type.values}
            assert numbers == {value.name: value.number for value in other.enum_type.values}


def test_our_numbers_are_tritons() -> None:
    """Our messages have the same field numbers as Triton's, and both modules load in one process."""
    ours = inference_pb2.DESCRIPTOR.message_types_by_name
    theirs = service_pb2.DESCRIPTOR.message_types_by_name
    compared = set(ours) & set(theirs)
    for name in compared:
        compare(ours[name], theirs[name])
    # The rest belongs to Triton's configuration, and is compared inside the messages that contain it.
    assert set(ours) - compared == {"ModelConfig", "ModelInput", "ModelOutput", "ModelVersionPolicy"}
