"""Check a URL that a person wrote before anything is sent to it."""

from urllib.parse import SplitResult, urlsplit


def parse_url(url: str) -> SplitResult:
    """Split an http or https URL. Raises ValueError, whose message never contains a password."""
    try:
        parts = urlsplit(url)
        # Python checks these parts only on access; a host name with an empty or too long part cannot be
        # resolved.
        sound = (
            parts.scheme in ("http", "https") and parts.port != 0 and (parts.hostname or "").encode("idna")
        )
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        shown = "an address with a password in it" if "@" in url else repr(url)
        raise ValueError(f"{shown} is not an HTTP URL; give one such as http://127.0.0.1:8000")
    return parts
