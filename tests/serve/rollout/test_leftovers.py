"""What a gateway that died had counted is told for it, once."""

from pathlib import Path

import pytest

from serve.rollout.census import Count, Sheet
from serve.rollout.journal import Journal
from serve.rollout.ledger import Account, Line
from serve.rollout.leftovers import Leftovers, recover
from tests.serve.rollout.diary import WATCH, killed_after

STICKY = (2, True, "int8")


def account(*sheets: list[Line]) -> Account:
    """What a gateway owes: sheet 7 and those after it."""
    return Account(
        model="digits",
        rollout="r1",
        baseline="fp32",
        candidate="int8",
        sheets=dict(enumerate(sheets, 7)),
    )


def line(variant: str, numbers: tuple[int, int, int], in_flight: int = 0) -> Line:
    return Line(choice=(2, False, variant), bucket=None, numbers=numbers, in_flight=in_flight)


def test_sheets_have_the_numbers_that_their_gateway_gave_them() -> None:
    """The one that it had sent, and the one that it was at."""
    sheets = list(recover(account([line("fp32", (5, 1, 2))], [line("int8", (3, 0, 0))]), ()))
    assert [(sheet.number, sheet.rollout, sheet.counts) for sheet in sheets] == [
        (7, "r1", {(2, False, "fp32"): Count(requests=5, errors=1, over_limit=2)}),
        (8, "r1", {(2, False, "int8"): Count(requests=3)}),
    ]


def test_keys_stand_in_what_they_are_a_part_of() -> None:
    """By bucket, with their errors."""
    lines = [
        Line(choice=STICKY, bucket=9, numbers=(2, 1, 0), in_flight=1),
        Line(choice=STICKY, bucket=None, numbers=(5, 1, 0), in_flight=1),
    ]
    [sheet] = recover(account(lines), {"digits/int8"})
    part = Count(requests=2, errors=2)
    assert sheet.counts == {STICKY: Count(requests=5, errors=2, keys={9: part})}


@pytest.mark.parametrize(
    ("running", "errors", "died"),
    [
        ((), (0, 0), ()),
        (("digits/int8",), (0, 3), ("int8",)),
        (("digits/fp32",), (4, 0), ("fp32",)),
        (("digits/fp32", "digits/int8"), (4, 3), ("fp32", "int8")),
        (("other/int8",), (0, 0), ()),
    ],
    ids=["none", "candidate", "baseline", "both", "another model's"],
)
def test_what_was_in_flight_failed_where_its_variant_ran(
    running: tuple[str, ...], errors: tuple[int, int], died: tuple[str, ...]
) -> None:
    """What ran may have ended the gateway; what only waited has not."""
    lines = [line("fp32", (10, 0, 0), 4), line("int8", (10, 0, 0), 3)]
    [sheet] = recover(account(lines), running)
    found = tuple(sheet.counts[2, False, variant].errors for variant in ("fp32", "int8"))
    assert (found, sheet.died) == (errors, died)


def test_a_death_without_a_request_is_told() -> None:
    """A copy may have done it."""
    [sheet] = recover(account([], []), {"digits/int8"})
    assert (sheet.number, sheet.counts, sheet.died) == (8, {}, ("int8",))


def test_who_owes_nothing_tells_nothing() -> None:
    """Neither counts nor a run."""
    assert list(recover(account([line("int8", (0, 0, 0))]), ())) == []


def test_they_are_told_until_they_are_written_down(tmp_path: Path) -> None:
    """The same each time; then nothing is left of them."""
    killed_after(tmp_path, 20)
    told: list[list[tuple[str, str, Sheet]]] = []

    def take(model: str, gateway: str, sheet: Sheet) -> bool:
        told[-1].append((model, gateway, sheet))
        return len(told) < 3

    leftovers = Leftovers(tmp_path)
    for _ in range(4):
        told.append([])
        leftovers.tell(take)
    assert told[0] == told[1] == told[2] != told[3] == []
    assert {(model, gateway) for model, gateway, _ in told[0]} == {("digits", "one")}
    assert list(tmp_path.iterdir()) == []


def test_another_keeper_tells_the_same(tmp_path: Path) -> None:
    """The first was killed before it was written down."""
    killed_after(tmp_path, 150)
    told: list[list[Sheet]] = [[], []]
    for each in told:

        def take(model: str, gateway: str, sheet: Sheet, each: list[Sheet] = each) -> bool:
            each.append(sheet)
            return True

        Leftovers(tmp_path).tell(take)
    assert told[0] == told[1] != []


def test_of_the_living_nothing_is_told(tmp_path: Path) -> None:
    """They do it themselves."""
    journal = Journal(tmp_path, "one")
    journal.census("digits", WATCH).admit((2, False, "int8"), None)
    Leftovers(tmp_path).tell(lambda *told: pytest.fail(f"{told} was told"))


def test_a_journal_that_cannot_be_read_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the next look is not kept from anything by it."""
    killed_after(tmp_path, 20)
    [ledger] = tmp_path.glob("*.ledger")
    ledger.write_bytes(b"{")
    Leftovers(tmp_path).tell(lambda *told: pytest.fail(f"{told} was told"))
    assert "cannot be read" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_cannot_be_deleted_waits_for_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who looks for harm is not kept from it by a folder."""

    def refuse(folder: Path, gateway: str) -> None:
        raise OSError("read-only file system")

    killed_after(tmp_path, 20)
    leftovers = Leftovers(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("serve.rollout.leftovers.delete_journal", refuse)
        leftovers.tell(lambda *_: False)
    assert "read-only file system" in caplog.text
    leftovers.tell(lambda *_: False)
    assert list(tmp_path.iterdir()) == []
