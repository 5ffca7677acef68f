from loadtests.peers.report import ServingReport, table


def test_the_table_says_what_was_measured(report: ServingReport) -> None:
    """The table has each load of each server, the idle CPU, and the servers that were left out."""
    words = " ".join(table(report).split())
    assert "1 connection quick 0.250 0.010 1234 1.50 1500.00" in words
    assert "40.6 requests/s quick 0.250" in words
    assert "idle, of one core: quick 12.5%" in words
    assert "<absent> is left out: it is not there" in words
    assert not report.complete


def test_a_p99_of_few_requests_is_marked(report: ServingReport) -> None:
    """A p99 of fewer than 1,000 requests is marked with `~`."""
    (part,) = report.parts
    thin = part.figures[0].model_copy(update={"requests": 999})
    text = table(report.model_copy(update={"parts": (part.model_copy(update={"figures": (thin,)}),)}))
    assert "~1500.00" in text
    assert "~ rests on fewer than 1,000 requests" in text
    assert "~" not in table(report)


def test_a_latency_that_hides_waiting_is_not_printed(report: ServingReport) -> None:
    """The p99 of a server that did not keep up is not printed."""
    (line,) = (line for line in table(report).splitlines() if " slow " in line)
    assert "did not keep up" in line
    assert "1500" not in line
