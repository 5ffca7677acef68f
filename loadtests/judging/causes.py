"""Causes: why requests failed, how often each."""

import re
from collections import Counter
from collections.abc import Iterable

from loadtests.sending.samples import Samples

# A server that names how many wait says something else each time; the status of HTTP tells causes apart.
_NUMBER = re.compile(r"(?<!HTTP )\b\d[\d.,]*\b")


def count_causes(measured: Iterable[Samples]) -> dict[str, int]:
    """Errors by cause, the most frequent first. Causes that differ only in their numbers are one, told in
    the words that came most often."""
    words = Counter(samples.words[number] for samples in measured for number in samples.error[~samples.right])
    told: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for text, times in words.most_common():
        counts[told.setdefault(_NUMBER.sub("", text), text)] += times
    return dict(counts.most_common())
