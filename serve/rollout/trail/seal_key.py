"""SealKey: what entries of the trail are sealed with, kept outside of the store that they lie in."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from sqlalchemy import make_url

from serve.base.errors import StoreFailed

_BYTES = 32


class SealKey:
    """A secret of 32 bytes. Whoever can write to the store and has no key can break seals and make none."""

    def __init__(self, secret: bytes) -> None:
        """Raises ValueError when it is too short or too long."""
        if len(secret) != _BYTES:
            raise ValueError(f"it holds {len(secret)} bytes, a key has {_BYTES}")
        self._secret = secret
        # Names the key without telling it, so that another key is not taken for a forgery.
        self.name = hashlib.sha256(secret).hexdigest()[:12]

    def digest(self, text: str) -> bytes:
        """The HMAC-SHA256 of the text."""
        return hmac.digest(self._secret, text.encode(), "sha256")

    def seal(self, text: str) -> str:
        """`NAME:MAC`: the key's name and the HMAC-SHA256 of the text."""
        return f"{self.name}:{self.digest(text).hex()}"

    def fits(self, text: str, seal: str) -> bool:
        """Whether the seal is this key's for the text."""
        return hmac.compare_digest(self.seal(text), seal)


def open_key(path: Path, *, make: bool) -> SealKey | None:
    """The key in a file, as hexadecimal; None: there is none. `make`: then a new one, for its owner alone.

    Raises StoreFailed."""
    try:
        if make and not path.exists():
            _make(path)
        return SealKey(bytes.fromhex(path.read_text().strip())) if path.exists() else None
    except (OSError, ValueError) as error:
        raise StoreFailed(
            f"the seal key {path} cannot be used: {error}; name another file with --seal-key"
        ) from None


def key_path(url: str) -> Path | None:
    """Where the key of a store lies unless somebody says otherwise: beside a SQLite file, with the ending
    `.key`. None: it is no file."""
    parsed = make_url(url)
    kept = parsed.drivername == "sqlite" and parsed.database
    return Path(str(parsed.database)).with_suffix(".key") if kept else None


def _make(path: Path) -> None:
    """Of two who make one at once the first is heard, and nobody reads half a key."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_bytes(_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
