"""A finished entry is kept whole, and an incomplete one counts as absent."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from export.artifacts import Made, Note
from export.cache import Cache


def linear(_: tuple[Note, ...] = ()) -> torch.nn.Module:
    """A module with fresh weights."""
    return torch.nn.Linear(3, 2)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty one."""
    return Cache(tmp_path / "cache", "origin")


def test_gives_back_the_model_that_was_put_there(cache: Cache) -> None:
    """A stored model is loaded with its weights, surgery, pruned names and notes."""
    module = linear()
    made = Made(module=module, surgery=({"kind": "x"},), pruned=frozenset({"weight"}), notes=({"step": "y"},))
    cache.save_made("key", made)
    found = cache.load_made("key", linear)
    assert found is not None
    assert torch.equal(found.module.state_dict()["weight"], module.state_dict()["weight"])
    assert (found.surgery, found.pruned, found.notes) == (made.surgery, made.pruned, made.notes)


def test_tied_weights_come_back_tied(cache: Cache) -> None:
    """Layers that share a weight are loaded with a shared weight."""

    def tied(_: tuple[Note, ...] = ()) -> torch.nn.Module:
        module = torch.nn.Sequential(torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 3, bias=False))
        module[1].weight = module[0].weight
        return module

    module = tied()
    cache.save_made("key", Made(module=module))
    found = cache.load_made("key", tied)
    assert found is not None
    assert torch.equal(found.module.get_parameter("1.weight"), module.get_parameter("0.weight"))


def test_a_damaged_entry_is_none(cache: Cache, tmp_path: Path) -> None:
    """A damaged entry is not loaded."""
    cache.save_made("key", Made(module=linear()))
    weights = tmp_path / "cache" / "key" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert cache.load_made("key", linear) is None


def test_answers_come_back_as_they_were(cache: Cache, tmp_path: Path) -> None:
    """Answers keep their names, order and types; a file that was cut is not loaded."""
    answers = {"b/x": np.zeros((2, 3), np.float32), "a": np.array([b"yes", b"no"]), "file": np.arange(2)}
    cache.save_answers("key", answers)
    came = cache.load_answers("key")
    assert came is not None
    assert [(name, array.dtype, array.tolist()) for name, array in came.items()] == [
        (name, array.dtype, array.tolist()) for name, array in answers.items()
    ]
    path = tmp_path / "cache" / "key" / "answers.npz"
    path.write_bytes(path.read_bytes()[:-30])
    assert cache.load_answers("key") is None


def test_an_entry_that_fails_to_be_written_leaves_nothing(cache: Cache, tmp_path: Path) -> None:
    """A write that fails leaves no entry and no temporary folder."""
    with pytest.raises(ValueError, match="Object arrays"):
        cache.save_answers("key", {"y": np.array([object()])})
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_origin_has_other_keys(tmp_path: Path) -> None:
    """Shelves of different origins have different keys."""
    one, other = Cache(tmp_path, "one"), Cache(tmp_path, "other")
    assert one.key("torch", []) != other.key("torch", [])


def test_sweeping_keeps_what_is_named_and_the_logs(cache: Cache, tmp_path: Path) -> None:
    """Sweeping keeps the named entries and the logs, and removes all others."""
    for key in ("kept", "gone"):
        cache.save_answers(key, {"y": np.zeros(3, np.float32)})
    cache.logs("slim/2-finetune").mkdir(parents=True)
    cache.scratch("unfinished")
    cache.sweep(["kept"])
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["kept", "logs"]


def test_one_process_at_a_time_works_on_a_key(cache: Cache) -> None:
    """Whoever comes second waits, and finds the model of the first."""
    found: list[Made | None] = []

    def second() -> None:
        with cache.alone("key"):
            found.append(cache.load_made("key", linear))

    with cache.alone("key"):
        thread = threading.Thread(target=second)
        thread.start()
        cache.save_made("key", Made(module=linear()))
    thread.join()
    assert found[0] is not None


def test_an_entry_that_another_process_has_saved_is_kept(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that appears while the same is being saved stays as it is."""
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    cache.save_answers("key", {"y": np.zeros(2)})
    cache.save_answers("key", {"y": np.ones(2)})
    kept = cache.load_answers("key")
    assert kept is not None
    assert kept["y"].tolist() == [0, 0]
