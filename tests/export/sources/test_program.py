"""A torch.export program is taken apart and checked, and nothing in it runs unless it is a plain operator."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from export.artifacts import Trained
from export.errors import InvalidSource
from export.recipe import ProgramSource
from export.sources.read_trained import read_trained

GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
SAMPLES = "data/sample_inputs/model.pt"
FREE: tuple[Any, ...] = ({0: torch.export.Dim.DYNAMIC},)


class Network(torch.nn.Module):
    """A layer, a dropout and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Three scores per row; a reshape, so that the batch stands in an expression."""
        pairs = self.dropout(torch.relu(self.layer(x))).reshape(x.shape[0] * 3)
        return torch.add(pairs.reshape(x.shape[0], 3), torch.tensor([1.0, 2.0, 3.0]))


class Malicious:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def record(path: Path, model: torch.nn.Module, free: Any = FREE) -> Path:
    """The model as torch.export saves it."""
    torch.export.save(torch.export.export(model, (torch.zeros(2, 4),), dynamic_shapes=free), path)
    return path


@pytest.fixture(scope="module")
def network() -> Network:
    """One network for all tests."""
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Path:
    """The network, recorded with a free batch."""
    return record(tmp_path_factory.mktemp("program") / "model.pt2", network)


def read(path: Path) -> Trained:
    """The program, named as a recipe beside it would."""
    return read_trained(ProgramSource(program=path.name), path.parent, "classification")


def rebuild(program: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The program's archive with changed members."""
    with zipfile.ZipFile(program) as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"model/{name}", content)
    return target


def test_the_module_answers_like_the_model(program: Path, network: Network) -> None:
    """The module gives the network's answers for any number of rows, and in both modes."""
    trained = read(program)
    assert trained.build is not None
    assert trained.frozen
    x = torch.rand(5, 4)
    with torch.no_grad():
        torch.testing.assert_close(trained.build().train().eval()(x), network(x))


def test_weights_can_be_trained_in_a_fresh_copy(program: Path) -> None:
    """Training one copy of a program does not change the next one."""
    trained = read(program)
    assert trained.build is not None
    model = trained.build()
    model(10 * torch.eye(4)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=1).step()
    fresh = trained.build().state_dict()
    assert not torch.equal(model.state_dict()["layer.weight"], fresh["layer.weight"])


def test_refuses_a_fixed_batch(tmp_path: Path, network: Network) -> None:
    """A program that was recorded with a fixed batch is refused; the error says how to record it."""
    with pytest.raises(InvalidSource, match=r"input x was recorded with the shape \[2, 4\].*Dim\.DYNAMIC"):
        read(record(tmp_path / "model.pt2", network, None))


def test_refuses_training_mode(tmp_path: Path) -> None:
    """A program that was recorded in training mode is refused."""
    with pytest.raises(InvalidSource, match=r"dropout.* recorded in training mode; call model\.eval\(\)"):
        read(record(tmp_path / "model.pt2", Network()))


def test_refuses_nan_weights(tmp_path: Path) -> None:
    """NaN in a program's weights is refused."""
    model = Network().eval()
    with torch.no_grad():
        model.layer.bias[0] = torch.nan
    with pytest.raises(InvalidSource, match=r"layer\.bias holds NaN"):
        read(record(tmp_path / "model.pt2", model))


@pytest.mark.parametrize("content", [b"garbage", None], ids=["garbage", "truncated"])
def test_refuses_what_is_no_whole_program(program: Path, tmp_path: Path, content: bytes | None) -> None:
    """A file that is not a complete program is refused with the fix."""
    path = tmp_path / "model.pt2"
    path.write_bytes(content or program.read_bytes()[:3000])
    with pytest.raises(InvalidSource, match=r"not a complete torch\.export program.*torch\.export\.save"):
        read(path)


def test_refuses_a_damaged_archive(tmp_path: Path) -> None:
    """A damaged archive is refused with an error of ours."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/weights", bytes(range(256)) * 40)
    damaged = bytearray(packed.getvalue())
    # These are the first bytes of the deflated stream, after the local header of 30 bytes and the name.
    damaged[43:53] = b"\xff" * 10
    path = tmp_path / "model.pt2"
    path.write_bytes(damaged)
    with pytest.raises(InvalidSource, match=r"not a complete torch\.export program.*Error -3"):
        read(path)


def test_code_in_the_sample_inputs_is_not_run(program: Path, tmp_path: Path) -> None:
    """Pickled code in the sample inputs is refused and not run."""
    trace = tmp_path / "trace"
    file = io.BytesIO()
    torch.save(((Malicious(trace),), {}), file)
    path = rebuild(
        program, tmp_path / "model.pt2", lambda members: members.update({SAMPLES: file.getvalue()})
    )
    with pytest.raises(InvalidSource, match=r"sample_inputs.*it would call posix\.system"):
        read(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    [
        "data/weights/model.pt",
        "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0",
        "data/aotinductor/model/model.so",
        "serialized_state_dict.pt",
        "../outside",
    ],
)
def test_refuses_members_that_torch_would_run(program: Path, tmp_path: Path, name: str) -> None:
    """An archive with pickles, objects or libraries is refused, and these are not opened."""
    path = rebuild(program, tmp_path / "model.pt2", lambda members: members.update({name: b"code"}))
    with pytest.raises(InvalidSource, match=f"holds {name}; .* is not opened"):
        read(path)


def test_refuses_a_pickled_weight(program: Path, tmp_path: Path) -> None:
    """A weight that is stored as a pickle is refused."""

    def change(members: dict[str, bytes]) -> None:
        members[WEIGHTS] = members[WEIGHTS].replace(b'"use_pickle": false', b'"use_pickle": true', 1)

    with pytest.raises(InvalidSource, match=r"layer\.weight is a pickle"):
        read(rebuild(program, tmp_path / "model.pt2", change))


ATTACK = "__import__('os').system('touch {}')"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"expr_str": "', '"expr_str": "{attack} + '),
        ('"name": "x"', '"name": "x={attack}"'),
        ('"target": "torch.ops.aten.relu.default"', '"target": "torch.os.system"'),
        ('"target": "torch.ops.aten.relu.default"', '"target": "torch.ops.aten.from_file.default"'),
        ('"parameter_name": "layer.weight"', '"parameter_name": "a\\"+{attack}+\\""'),
        ('"forward_arg_names": ["x"]', '"forward_arg_names": ["x={attack}"]'),
        ('\\"type\\": \\"builtins.tuple\\"', '\\"type\\": \\"collections.defaultdict\\"'),
    ],
    ids=["expression", "name", "function", "file", "parameter", "argument", "structure"],
)
def test_code_in_the_graph_is_not_run(program: Path, tmp_path: Path, before: str, after: str) -> None:
    """Code in sizes or names of the graph is refused and not run."""
    trace = tmp_path / "trace"

    def change(members: dict[str, bytes]) -> None:
        assert before.encode() in members[GRAPH]
        new = after.replace("{attack}", ATTACK.format(trace))
        members[GRAPH] = members[GRAPH].replace(before.encode(), new.encode())

    with pytest.raises(
        InvalidSource, match="neither a name nor a standard operator, and nothing of it was run"
    ):
        read(rebuild(program, tmp_path / "model.pt2", change))
    assert not trace.exists()


def test_guards_are_not_run(program: Path, tmp_path: Path) -> None:
    """Guards are removed and not run, and the module works."""
    trace = tmp_path / "trace"

    def change(members: dict[str, bytes]) -> None:
        graph = json.loads(members[GRAPH])
        graph["guards_code"] = [ATTACK.format(trace)]
        members[GRAPH] = json.dumps(graph).encode()

    trained = read(rebuild(program, tmp_path / "model.pt2", change))
    assert trained.build is not None
    trained.build()(torch.zeros(3, 4))
    assert not trace.exists()


def test_refuses_an_archive_that_unpacks_to_more_than_may_be_read(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that claims too many bytes is refused before it is unpacked."""
    monkeypatch.setattr("export.sources.program.MAX_BYTES", 1000)
    with pytest.raises(InvalidSource, match=r"claims \d+ bytes unpacked; the maximum"):
        read(program)
