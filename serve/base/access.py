"""Access: who may ask for what, by tokens of which only digests are kept. Pure, but for reading the file."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

from serve.base.errors import InvalidRecord, RefusedAccess, UnknownToken
from serve.base.record import Record, nearest
from serve.base.wording import kind
from serve.base.yaml_file import read_yaml

Role = Literal["view", "operate", "infer"]
# Who asks, where nobody has to show a token.
LOCAL = "local"
_SHORTEST = 16
# As they stand in a header.
_TOKEN = re.compile(rf"[!-~]{{{_SHORTEST},1024}}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
# In the trail they are others.
_TAKEN = (LOCAL, "judge", "keeper", "serve")
# By the role that is asked for, those that suffice.
_SUFFICE: Mapping[Role, tuple[Role, ...]] = {
    "view": ("view", "operate"),
    "operate": ("operate",),
    "infer": ("infer", "operate"),
}


class Grant(Record):
    """What one token is good for."""

    # Of whoever has the token, as the trail will name him.
    name: str
    role: Role
    # The token's SHA-256 in hexadecimal.
    digest: str


class Access(Record):
    """Who may ask for what."""

    # None: there are no tokens. Then everything is open where only this machine can ask, and elsewhere
    # inference alone.
    grants: tuple[Grant, ...] | None = None
    # Whether the server listens to this machine only.
    loopback: bool

    @property
    def closed(self) -> bool:
        """Whether nobody may look or change anything."""
        return self.grants is None and not self.loopback

    def asks(self, role: Role) -> bool:
        """Whether not everybody may do what the role may; for inference only if a token is for just that."""
        if role == "infer":
            return any(grant.role == role for grant in self.grants or ())
        return self.grants is not None or not self.loopback

    def admit(self, role: Role, authorization: str | None) -> str:
        """The name of whoever comes with this header, or metadata, and may do what the role may; LOCAL where
        nobody is asked. Raises UnknownToken and RefusedAccess."""
        if not self.asks(role):
            return LOCAL
        if self.grants is None:
            raise RefusedAccess(
                "this is closed: the server listens beyond this machine and was given no tokens; "
                "start it with --tokens FILE, or with --host 127.0.0.1"
            )
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise UnknownToken(
                f"no token came, one with the role {' or '.join(_SUFFICE[role])} is needed; "
                "send it as authorization: Bearer TOKEN"
            )
        grant = self._find(token.strip())
        if grant.role not in _SUFFICE[role]:
            raise RefusedAccess(
                f"the token of {grant.name} has the role {grant.role}, {' or '.join(_SUFFICE[role])} is "
                "needed; ask whoever runs the server for one"
            )
        return grant.name

    def _find(self, token: str) -> Grant:
        digest, found = _digest_of(token), None
        # To the end, whichever it is: how long it takes must tell nothing.
        for grant in self.grants or ():
            if hmac.compare_digest(grant.digest, digest):
                found = grant
        if found is None:
            raise UnknownToken("the token that came is not known here; ask whoever runs the server for one")
        return found


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
    entries = read_yaml(path, what, secret=True)
    if not isinstance(entries, list) or not entries:
        raise InvalidRecord(f"{path} holds {_came(entries)}, expected {what}")
    grants = [_read_grant(entry, f"{path}: entry {place}") for place, entry in enumerate(entries, 1)]
    for place, grant in enumerate(grants, 1):
        before = grants[: place - 1]
        if grant.name in (other.name for other in before):
            raise InvalidRecord(f"{path}: entry {place}: the name {grant.name} is there before; give another")
        if grant.digest in (other.digest for other in before):
            raise InvalidRecord(f"{path}: entry {place}: the token is there before; each needs its own")
    return tuple(grants)


def _read_grant(entry: Any, source: str) -> Grant:
    known = ("name", "role", "token")
    if not isinstance(entry, dict):
        raise InvalidRecord(f"{source} is {_came(entry)}, expected an object with {', '.join(known)}")
    for key in entry:
        if key not in known:
            raise InvalidRecord(f"{source}: unknown key {_came(key)}; {nearest(str(key), known)}")
    name, role, token = (entry.get(key) for key in known)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN:
        raise InvalidRecord(
            f"{source}: the name is {_came(name)}, expected letters, digits and _.@-, and none of "
            f"{', '.join(_TAKEN)}"
        )
    if role not in get_args(Role):
        raise InvalidRecord(f"{source}: the role is {_came(role)}, expected {', '.join(get_args(Role))}")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        came = f"of {len(token)} characters" if isinstance(token, str) else kind(token)
        raise InvalidRecord(
            f"{source}: the token is {came}, expected at least {_SHORTEST} visible ASCII characters in "
            "quotes; `openssl rand -hex 24` makes one"
        )
    return Grant(name=name, role=cast("Role", role), digest=_digest_of(token))


def _came(value: Any) -> str:
    """The value, unless it could be a token that slipped into the wrong place."""
    short = isinstance(value, str) and len(value) < _SHORTEST
    return repr(value) if short else kind(value)


def _digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
