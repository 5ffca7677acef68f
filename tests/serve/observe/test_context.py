import pytest

from serve.observe.context import TraceContext, child, header, parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-ff", 3),
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", 1),
    ],
    ids=["sampled", "not sampled", "unknown flags", "later version", "later version with more fields"],
)
def test_a_valid_header_is_read(value: str, flags: int) -> None:
    """A valid header is parsed, and unknown flags are dropped."""
    assert parse_traceparent(value) == TraceContext(TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\n",
        f"\N{ARABIC-INDIC DIGIT ZERO}0-{TRACE}-{SPAN}-01",
    ],
)
def test_an_invalid_header_is_no_context(value: str) -> None:
    """An invalid `traceparent` header gives no context."""
    assert parse_traceparent(value) is None


def test_a_child_is_a_new_span_of_the_same_trace() -> None:
    """A child has its parent's trace and flags, and a span id of its own."""
    parent = TraceContext(TRACE, SPAN, 0)
    below = child(parent)
    assert (below.trace_id, below.flags) == (TRACE, 0)
    assert below.span_id != SPAN


def test_without_a_parent_a_trace_begins() -> None:
    """Without a parent each child starts a trace of its own."""
    assert child(None).trace_id != child(None).trace_id


def test_what_is_passed_on_can_be_read() -> None:
    """A generated traceparent header can be parsed."""
    context = child(None)
    assert parse_traceparent(header(context)) == context
