import pytest

from serve.base.url import parse_url

LONG = f"http://{'a' * 70}.org"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://ann:p@host/a?b=c", "http://[::1]:80/"])
def test_a_url_of_http_has_its_parts(url: str) -> None:
    """A parsed URL gives the same text again."""
    assert parse_url(url).geturl() == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "host:80",
        "ftp://host",
        "http://",
        "http://:80",
        "http://host:x",
        "http://host:0",
        "http://[",
        "http://host/a b",
        "http://host/\n",
        "http://höst",
        "http://a..b",
        LONG,
    ],
)
def test_what_is_no_url_of_http_is_refused(url: str) -> None:
    """The message gives an example of a valid URL."""
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:8000"):
        parse_url(url)


def test_a_password_is_not_said_again() -> None:
    """The error for a URL with a password does not contain it."""
    with pytest.raises(ValueError, match="with a password in it") as refused:
        parse_url("ftp://ann:secret@host")
    assert "secret" not in str(refused.value)
