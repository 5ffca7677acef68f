"""The key that seals the entries of a trail, which is kept outside of the store."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from sqlalchemy import make_url

from serve.base.errors import StoreFailed

_BYTES = 32


class SealKey:
    """A secret of 32 bytes. A person who can write to the store but has no key cannot make valid seals."""

    def __init__(self, secret: bytes) -> None:
        """Raises ValueError if the length is wrong."""
        if len(secret) != _BYTES:
            raise ValueError(f"it has {len(secret)} bytes, but a key has {_BYTES}")
        self._secret = secret
        # Identifies the key without revealing it, so that another key is not mistaken for a forgery.
        self.name = hashlib.sha256(secret).hexdigest()[:12]

    def digest(self, text: str) -> bytes:
        """The HMAC-SHA256 of the text."""
        return hmac.digest(self._secret, text.encode(), "sha256")

    def seal(self, text: str) -> str:
        """`NAME:MAC`: the key's name and the HMAC-SHA256 of the text."""
        return f"{self.name}:{self.digest(text).hex()}"

    def fits(self, text: str, seal: str) -> bool:
        """Whether the seal was made with this key for the text."""
        return hmac.compare_digest(self.seal(text), seal)


def open_key(path: Path, *, make: bool) -> SealKey | None:
    """Read the key in a file, as hexadecimal; None if there is no file. With `make`, a missing key is
    created, readable only by its owner.

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
    """The default path of a store's key: beside a SQLite file, with the ending `.key`; None if the store is
    not a file."""
    parsed = make_url(url)
    kept = parsed.drivername == "sqlite" and parsed.database
    return Path(str(parsed.database)).with_suffix(".key") if kept else None


def _make(path: Path) -> None:
    """Create a key file, so that nobody reads half a key, and of two simultaneous ones the first is kept."""
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
