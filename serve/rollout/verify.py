"""Verify: whether a store holds what was written into it, looked at from outside and without a server."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from serve.base.errors import InvalidRecord
from serve.rollout.replay import recompute
from serve.rollout.store.audit import audit
from serve.rollout.store.schema import open_reader
from serve.rollout.store.store_reader import StoreReader
from serve.rollout.trail.anchor import Anchor, TrailEnd, unanchored
from serve.rollout.trail.seal_key import SealKey, key_path, open_key
from serve.rollout.trail.trail import Entry

_STORE = "models/.rollouts.db"


def verify(arguments: list[str]) -> int:
    """The `verify` command: exit code 0 when all is what was written, 1 when something is not, 2 for bad
    input. Nothing in the store is changed.

    Raises InvalidRecord and StoreFailed."""
    options = _parser().parse_args(arguments)
    url = options.store if "://" in options.store else f"sqlite:///{Path(options.store).absolute()}"
    path = options.seal_key or key_path(url)
    key = None if path is None else open_key(path, make=False)
    place = options.anchor or (None if path is None else path.with_suffix(".anchor"))
    if options.anchor is not None and not options.anchor.is_file():
        raise InvalidRecord(f"--anchor {options.anchor}: there is no such file")
    engine = open_reader(url)
    try:
        faulty = _look(
            StoreReader(engine), key, None if place is None else Anchor(place), accept=options.accept
        )
    finally:
        engine.dispose()
    return int(faulty)


def _look(reader: StoreReader, key: SealKey | None, anchor: Anchor | None, *, accept: bool) -> bool:
    """Say how each model's trail is; whether any is not what was written."""
    heads = () if anchor is None else anchor.heads()
    models = sorted({*reader.models(), *(head.model for head in heads if head.number)})
    if accept and anchor is None:
        raise InvalidRecord("--accept came without a place to write it down; name a file with --anchor")
    faulty = False
    for model in models:
        trail = reader.trail(model)
        faults = list(_faults(model, trail, reader, key, anchor))
        head = f"head {trail[-1].number} {trail[-1].digest}" if trail else "no head"
        _say([f"{model}: {len(trail)} entries, {head}", *(f"  {fault}" for fault in faults)])
        if faults and accept and anchor is not None:
            number, digest = (trail[-1].number, trail[-1].digest) if trail else (0, "")
            anchor.add(TrailEnd(model=model, number=number, digest=digest, accepted=True))
            _say(["  accepted as it is, from the next start of the server on"])
        faulty |= bool(faults)
    sealed = "no key: whoever can write the store can seal it anew" if key is None else f"key {key.name}"
    known = "no anchor: an end cut off is not noticed" if not heads else f"{len(heads)} lines of anchor"
    _say([f"{len(models)} models, {'FAULTY' if faulty else 'all as written'}; {sealed}; {known}"])
    return faulty


def _faults(
    model: str, trail: tuple[Entry, ...], reader: StoreReader, key: SealKey | None, anchor: Anchor | None
) -> Iterator[str]:
    last, accepted = (None, None) if anchor is None else (anchor.last(model), anchor.accepted(model))
    found = audit(trail, reader.rows(model), last, accepted, key)
    if not found and key is not None and trail and last is None:
        found = (f"{unanchored(anchor, model, len(trail))}; name a copy with --anchor",)
    yield from found
    yield from reader.label_faults(model, trail, accepted, key)
    trusted = 0 if accepted is None else accepted.number
    for rollout in dict.fromkeys(entry.rollout for entry in trail if entry.number > trusted):
        if rollout is not None:
            yield from (f"{rollout}: {fault}" for fault in recompute(trail, rollout).faults)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight verify",
        description="Look whether a store holds what was written into it: every seal, the end of each trail, "
        "the evidence, and every verdict and step computed once more. Nothing is changed, and no server is "
        "needed.",
        epilog="example: counterweight verify models/.rollouts.db --anchor /mnt/safe/rollouts.anchor",
    )
    add = parser.add_argument
    add("store", nargs="?", default=_STORE, metavar="STORE", help=f"a file or a URL; default: {_STORE}")
    add("--seal-key", type=Path, metavar="FILE", help="default: beside a SQLite file, with the ending .key")
    add("--anchor", type=Path, metavar="FILE", help="a copy of the anchor; default: beside the key")
    add(
        "--accept",
        action="store_true",
        help="a person has looked: write into the anchor that faulty trails are taken as they are up to "
        "here. A server follows them again after its next start; the store itself stays as it is",
    )
    return parser


def _say(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
