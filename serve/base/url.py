"""URL: an address of HTTP that somebody wrote, checked before anything is sent to it."""

from urllib.parse import SplitResult, urlsplit


def parse_url(url: str) -> SplitResult:
    """The parts of an http or https URL. Raises ValueError, which does not say a password again."""
    try:
        parts = urlsplit(url)
        # Looked at only when they are asked for; a name with an empty or too long part cannot be looked up.
        sound = (
            parts.scheme in ("http", "https") and parts.port != 0 and (parts.hostname or "").encode("idna")
        )
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        shown = "an address with a password in it" if "@" in url else repr(url)
        raise ValueError(f"{shown} is no URL of HTTP; give one such as http://127.0.0.1:8000")
    return parts
