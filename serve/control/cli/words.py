"""Words: figures as people read them."""


def percent(share: float | None) -> str:
    """A share from 0 to 1 with three digits; `-` for none."""
    return "-" if share is None else f"{100 * share:.3g} %"


def duration(seconds: float) -> str:
    """The two largest units of a time, such as `3 min 5 s`; another machine's clock may be ahead of ours."""
    left = max(round(seconds), 0)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def printable(text: str) -> str:
    """`text` without what could steer a terminal: requests bring words of their own into a view."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
