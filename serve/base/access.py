"""Access control by bearer tokens. The server keeps only the digest of a token."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from serve.base.errors import InvalidRecord, RefusedAccess, UnknownToken
from serve.base.record import Record
from serve.base.yaml_file import read_yaml

Role = Literal["view", "operate", "infer"]
# The name in the trail where no token is required.
LOCAL = "local"
_SHORTEST = 16
# The characters that a token may have in a header.
_TOKEN = re.compile(rf"[!-~]{{{_SHORTEST},1024}}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
# The trail uses these names for other actors.
_TAKEN = (LOCAL, "judge", "keeper", "serve")
# The roles that suffice for each required role.
_SUFFICE: Mapping[Role, tuple[Role, ...]] = {
    "view": ("view", "operate"),
    "operate": ("operate",),
    "infer": ("infer", "operate"),
}


class Grant(Record):
    """One token: its owner and its role."""

    # The owner of the token, as the trail names them.
    name: str
    role: Role
    # The token's SHA-256 in hexadecimal.
    digest: str


class Access(Record):
    """The tokens of a server, and whether only this machine can reach it."""

    # None: there are no tokens. Then a server on loopback allows everything, and any other server only
    # inference.
    grants: tuple[Grant, ...] | None = None
    # Whether the server listens to this machine only.
    loopback: bool

    @property
    def closed(self) -> bool:
        """Whether the server allows nothing but inference."""
        return self.grants is None and not self.loopback

    def requires_token(self, role: Role) -> bool:
        """Whether the role requires a token. Inference requires one only if a token has the role `infer`."""
        if role == "infer":
            return any(grant.role == role for grant in self.grants or ())
        return self.grants is not None or not self.loopback

    def admit(self, role: Role, authorization: str | None) -> str:
        """The name of the client that sent this header, or LOCAL if the role requires no token.

        Raises UnknownToken if the header holds no known token, and RefusedAccess if its role does not
        suffice.
        """
        if not self.requires_token(role):
            return LOCAL
        if self.grants is None:
            raise RefusedAccess(
                "this is closed: the server listens beyond this machine and was given no tokens; "
                "start it with --tokens FILE, or with --host 127.0.0.1"
            )
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise UnknownToken(
                f"the request has no token; it needs one with the role {' or '.join(_SUFFICE[role])}; "
                "send it as authorization: Bearer TOKEN"
            )
        grant = self._find(token.strip())
        if grant.role not in _SUFFICE[role]:
            raise RefusedAccess(
                f"the token of {grant.name} has the role {grant.role}, but this needs "
                f"{' or '.join(_SUFFICE[role])}; ask the operator of the server for one"
            )
        return grant.name

    def _find(self, token: str) -> Grant:
        digest, match = _digest_of(token), None
        # The loop never ends early, so that its duration reveals nothing.
        for grant in self.grants or ():
            if hmac.compare_digest(grant.digest, digest):
                match = grant
        if match is None:
            raise UnknownToken("this server does not know the token; ask its operator for one")
        return match


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine for itself; a name that would have to be looked up is
    not."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_grants(path: Path) -> tuple[Grant, ...]:
    """What the tokens in the YAML file are good for. Raises InvalidRecord, which never shows a token."""
    what = "a list of {name, role, token}"
    content = read_yaml(path, what, secret=True)
    try:
        entries = _ENTRIES.validate_python(content)
    except ValidationError as error:
        raise InvalidRecord(f"{path}: {_explain(error, what)}") from None
    grants: list[Grant] = []
    for place, entry in enumerate(entries, 1):
        digest = _digest_of(entry.token.get_secret_value())
        if entry.name in (other.name for other in grants):
            raise InvalidRecord(f"{path}: entry {place}: the name {entry.name} is there before; give another")
        if digest in (other.digest for other in grants):
            raise InvalidRecord(f"{path}: entry {place}: the token is there before; each needs its own")
        grants.append(Grant(name=entry.name, role=entry.role, digest=digest))
    return tuple(grants)


class _Entry(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(extra="forbid")

    name: str
    role: Role
    token: SecretStr

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise ValueError(f"it needs letters, digits and _.@-, and none of {', '.join(_TAKEN)}")
        return name

    @field_validator("token")
    @classmethod
    def _strong(cls, token: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError(
                f"it has {len(token)} characters and needs at least {_SHORTEST} visible ASCII ones; "
                "`openssl rand -hex 24` makes one"
            )
        return token


_ENTRIES = TypeAdapter(Annotated[list[_Entry], Field(min_length=1)])


def _explain(error: ValidationError, what: str) -> str:
    """The first fault, without what came: a token may have slipped into any place."""
    fault = error.errors(include_url=False, include_input=False)[0]
    entry, *key = fault["loc"] or ("",)
    if not key:
        return f"{f'entry {int(entry) + 1}' if entry != '' else 'it'} is not what was expected: {what}"
    if fault["type"] == "extra_forbidden":
        return f"entry {int(entry) + 1} has an unknown key; known: {', '.join(_Entry.model_fields)}"
    reason = fault["msg"].removeprefix("Value error, ")
    return f"entry {int(entry) + 1}: {key[0]}: {reason}" + (
        "; write it in quotes" if "string" in reason else ""
    )


def _digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
