"""Counts the causes of failed requests."""

import re
from collections import Counter
from collections.abc import Iterable

from loadtests.sending.samples import Samples

# Messages such as the length of a queue contain numbers that change; the HTTP status must stay distinct.
_NUMBER = re.compile(r"(?<!HTTP )\b\d[\d.,]*\b")


def count_causes(measured: Iterable[Samples]) -> dict[str, int]:
    """Count errors by cause, the most frequent first.

    Causes that differ only in their numbers are merged under the most frequent wording."""
    words = Counter(samples.words[number] for samples in measured for number in samples.error[~samples.right])
    details: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for text, times in words.most_common():
        counts[details.setdefault(_NUMBER.sub("", text), text)] += times
    return dict(counts.most_common())
