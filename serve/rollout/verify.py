"""The `verify` command: check that a store has not been changed, without a server."""

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
    """Run the `verify` command. Exit code 0: everything is unchanged; 1: there are faults; 2: bad input. The
    store is not changed.

    Raises InvalidRecord and StoreFailed."""
    options = _parser().parse_args(arguments)
    url = options.store if "://" in options.store else f"sqlite:///{Path(options.store).absolute()}"
    path = options.seal_key or key_path(url)
    key = None if path is None else open_key(path, make=False)
    place = options.anchor or (None if path is None else path.with_suffix(".anchor"))
    if options.anchor is not None and not options.anchor.is_file():
        raise InvalidRecord(f"--anchor {options.anchor}: the file does not exist")
    engine = open_reader(url)
    try:
        faulty = _look(
            StoreReader(engine), key, None if place is None else Anchor(place), accept=options.accept
        )
    finally:
        engine.dispose()
    return int(faulty)


def _look(reader: StoreReader, key: SealKey | None, anchor: Anchor | None, *, accept: bool) -> bool:
    """Print the result for each model. Returns whether there are faults."""
    heads = () if anchor is None else anchor.heads()
    models = sorted({*reader.models(), *(head.model for head in heads if head.number)})
    if accept and anchor is None:
        raise InvalidRecord("--accept needs a place to record it; name a file with --anchor")
    faulty = False
    for model in models:
        trail = reader.trail(model)
        faults = list(_faults(model, trail, reader, key, anchor))
        head = f"head {trail[-1].number} {trail[-1].digest}" if trail else "no head"
        _say([f"{model}: {len(trail)} entries, {head}", *(f"  {fault}" for fault in faults)])
        if faults and accept and anchor is not None:
            number, digest = (trail[-1].number, trail[-1].digest) if trail else (0, "")
            anchor.add(TrailEnd(model=model, number=number, digest=digest, accepted=True))
            _say(["  accepted as it is, from the next start of the server"])
        faulty |= bool(faults)
    sealed = "no key: a person who can write the store can seal it anew" if key is None else f"key {key.name}"
    known = "no anchor: a cut-off end is not detected" if not heads else f"{len(heads)} anchor lines"
    _say([f"{len(models)} models, {'FAULTY' if faulty else 'all unchanged'}; {sealed}; {known}"])
    return faulty


def _faults(
    model: str, trail: tuple[Entry, ...], reader: StoreReader, key: SealKey | None, anchor: Anchor | None
) -> Iterator[str]:
    last, accepted = (None, None) if anchor is None else (anchor.last(model), anchor.accepted(model))
    faults = audit(trail, reader.rows(model), last, accepted, key)
    if not faults and key is not None and trail and last is None:
        faults = (f"{unanchored(anchor, model, len(trail))}; name a copy with --anchor",)
    yield from faults
    yield from reader.label_faults(model, trail, accepted, key)
    trusted = 0 if accepted is None else accepted.number
    for rollout in dict.fromkeys(entry.rollout for entry in trail if entry.number > trusted):
        if rollout is not None:
            yield from (f"{rollout}: {fault}" for fault in recompute(trail, rollout).faults)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="counterweight verify",
        description="Check that a store has not been changed: every seal, the end of each trail, the "
        "evidence, and every verdict and step, computed again. The store is not changed, and no server is "
        "needed.",
        epilog="example: counterweight verify models/.rollouts.db --anchor /mnt/safe/rollouts.anchor",
    )
    add = parser.add_argument
    add("store", nargs="?", default=_STORE, metavar="STORE", help=f"file or URL; default: {_STORE}")
    add("--seal-key", type=Path, metavar="FILE", help="default: beside a SQLite file, with the ending .key")
    add("--anchor", type=Path, metavar="FILE", help="a copy of the anchor; default: beside the key")
    add(
        "--accept",
        action="store_true",
        help="accept faulty trails as they are, after a person has checked them: writes this to the "
        "anchor. The server uses these trails again after its next start; the store itself is not changed",
    )
    return parser


def _say(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
