"""Format numbers and texts for people."""


def percent(share: float | None) -> str:
    """Format a share from 0 to 1 with three digits; `-` for None."""
    return "-" if share is None else f"{100 * share:.3g} %"


def duration(seconds: float) -> str:
    """Format a time with its two largest units, such as `3 min 5 s`; negative times count as 0."""
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
    """Replace unprintable characters, because requests could otherwise send control codes to a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
