from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.base.access import LOCAL, Access, Role, is_loopback, read_grants
from serve.base.errors import InvalidRecord, RefusedAccess, UnknownToken

SECRET = "correct-horse-battery"
ENTRY = {"name": "ann", "role": "operate", "token": SECRET}


def tokens(folder: Path, *entries: Any) -> Path:
    """A file of tokens."""
    path = folder / "tokens.yaml"
    path.write_text(yaml.safe_dump(list(entries)))
    return path


def access(folder: Path, *roles: Role) -> Access:
    """A server on a public address with one token per role, each at least 16 characters long."""
    entries = [{"name": role, "role": role, "token": f"{role:=<16}"} for role in roles]
    return Access(grants=read_grants(tokens(folder, *entries)), loopback=False)


def bearer(role: Role) -> str:
    """Return the authorization header with the token of `role`."""
    return f"Bearer {role:=<16}"


@pytest.mark.parametrize(
    ("role", "suffices"),
    [("view", {"view", "operate"}), ("operate", {"operate"}), ("infer", {"infer", "operate"})],
)
def test_a_role_is_good_for_what_it_includes(tmp_path: Path, role: Role, suffices: set[Role]) -> None:
    """A token is admitted for its own role and for each role that this role includes."""
    given = access(tmp_path, "view", "operate", "infer")
    for shown in ("view", "operate", "infer"):
        if shown in suffices:
            assert given.admit(role, bearer(shown)) == shown
        else:
            with pytest.raises(RefusedAccess, match=f"the token of {shown} has the role {shown}, "):
                given.admit(role, bearer(shown))


@pytest.mark.parametrize("role", ["view", "operate", "infer"])
def test_on_this_machine_without_tokens_everything_is_open(role: Role) -> None:
    """On a loopback address without tokens, any header gives full access."""
    assert Access(loopback=True).admit(role, None) == LOCAL
    assert Access(loopback=True).admit(role, "Bearer whatever") == LOCAL


@pytest.mark.parametrize("role", ["view", "operate"])
def test_beyond_it_without_tokens_all_but_inference_is_closed(role: Role) -> None:
    """Without tokens on a public address only inference is open; the refusal names `--tokens`."""
    closed = Access(loopback=False)
    assert closed.closed
    assert closed.admit("infer", None) == LOCAL
    with pytest.raises(RefusedAccess, match="start it with --tokens FILE"):
        closed.admit(role, "Bearer whatever-it-may-be")


def test_tokens_count_on_this_machine_too(tmp_path: Path) -> None:
    """On a loopback address that has tokens, a request without a token is refused."""
    given = access(tmp_path, "view").model_copy(update={"loopback": True})
    with pytest.raises(UnknownToken):
        given.admit("view", None)


def test_inference_asks_for_a_token_only_if_one_is_for_that(tmp_path: Path) -> None:
    """Inference needs a token only if a token has the role infer."""
    assert access(tmp_path, "view", "operate").admit("infer", None) == LOCAL
    with pytest.raises(UnknownToken):
        access(tmp_path, "view", "infer").admit("infer", None)


@pytest.mark.parametrize("header", [None, "", "Basic dmlldzp2aWV3", "operate========="])
def test_without_a_token_one_is_asked_for(tmp_path: Path, header: str | None) -> None:
    """The refusal names the roles that suffice and the header to send."""
    with pytest.raises(UnknownToken, match=r"view or operate.*authorization: Bearer"):
        access(tmp_path, "operate").admit("view", header)


@pytest.mark.parametrize("token", ["operate========", "operate==========", "OPERATE=========", "ä" * 16, ""])
def test_a_token_is_known_to_the_last_character(tmp_path: Path, token: str) -> None:
    """A token that differs in one character is refused, and the refusal does not repeat it."""
    with pytest.raises(UnknownToken, match="does not know the token") as raised:
        access(tmp_path, "operate").admit("operate", f"Bearer {token}")
    assert not token or token not in str(raised.value)


def test_the_scheme_is_written_in_any_case(tmp_path: Path) -> None:
    """The scheme of the authorization header is case-insensitive."""
    assert access(tmp_path, "view").admit("view", bearer("view").replace("Bearer", "bearer ")) == "view"


def test_every_token_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check compares all three tokens even after a match, so its time reveals nothing."""
    given, compared = access(tmp_path, "view", "operate", "infer"), []

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("serve.base.access.hmac.compare_digest", compare)
    given.admit("view", bearer("view"))
    assert len(compared) == 3


def test_the_token_itself_is_kept_nowhere(tmp_path: Path) -> None:
    """Neither the repr nor the JSON of the access rules contains the token."""
    given = Access(grants=read_grants(tokens(tmp_path, ENTRY)), loopback=False)
    assert given.admit("operate", f"Bearer {SECRET}") == "ann"
    assert SECRET not in repr(given) + given.model_dump_json()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "it is not what was expected: a list of"),
        (["ann"], "entry 1 is not what was expected: a list of {name, role, token}"),
        ([SECRET], "entry 1 is not what was expected"),
        ([ENTRY, {**ENTRY, "rolle": "view"}], "entry 2 has an unknown key; known: name, role, token"),
        ([{**ENTRY, SECRET: "view"}], "entry 1 has an unknown key; known: name, role, token"),
        ([{"role": "view", "token": SECRET}], "entry 1: name: Field required"),
        ([{**ENTRY, "name": "judge"}], "entry 1: name: it needs .* none of local, judge, keeper, serve"),
        ([{**ENTRY, "name": "ann smith"}], "entry 1: name: it needs letters, digits"),
        ([{**ENTRY, "role": "admin"}], "entry 1: role: Input should be 'view', 'operate' or 'infer'"),
        ([{**ENTRY, "role": SECRET}], "entry 1: role: Input should be"),
        ([{**ENTRY, "role": ["view"]}], "entry 1: role: Input should be"),
        ([{**ENTRY, "token": SECRET[:15]}], "entry 1: token: it has 15 characters and needs at least 16"),
        ([{**ENTRY, "token": f"{SECRET} {SECRET}"}], "entry 1: token: it has 43 characters"),
        ([{**ENTRY, "token": 1234567890123456}], "entry 1: token: .* string; write it in quotes"),
        ([ENTRY, {**ENTRY, "token": SECRET * 2}], "entry 2: the name ann is there before"),
        ([ENTRY, {**ENTRY, "name": "bob"}], "entry 2: the token is there before; each needs its own"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, entries: list[Any], message: str) -> None:
    """The error names the entry and the fix, and contains no part of a token."""
    with pytest.raises(InvalidRecord, match=message) as raised:
        read_grants(tokens(tmp_path, *entries))
    assert SECRET[:15] not in str(raised.value)
    assert "1234567890123456" not in str(raised.value)


@pytest.mark.parametrize("content", [f"- *{SECRET}", f"- !{SECRET} x", f"- [{SECRET}", f"{SECRET}\0"])
def test_a_file_that_is_no_yaml_is_not_quoted(tmp_path: Path, content: str) -> None:
    """The error for invalid YAML names the file and does not quote its content."""
    path = tmp_path / "tokens.yaml"
    path.write_text(content)
    with pytest.raises(InvalidRecord, match=r"tokens\.yaml") as raised:
        read_grants(path)
    assert SECRET not in str(raised.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """The error names the missing file and what it should contain."""
    with pytest.raises(
        InvalidRecord, match=r"none\.yaml: No such file or directory; give the path of a list"
    ):
        read_grants(tmp_path / "none.yaml")


def test_roles_and_names_are_taken_as_written(tmp_path: Path) -> None:
    """The grants have the names and roles of the file, in its order."""
    bob = {"name": "bob@example.com", "role": "view", "token": SECRET * 2}
    found = [(grant.name, grant.role) for grant in read_grants(tokens(tmp_path, ENTRY, bob))]
    assert found == [("ann", "operate"), ("bob@example.com", "view")]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_this_machine_is_known_by_its_address(host: str, expected: bool) -> None:
    """Only loopback addresses count as this machine; a name that needs a lookup does not."""
    assert is_loopback(host) is expected
