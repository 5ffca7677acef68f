"""Renders the summary as one self-contained HTML file with its pictures."""

from pathlib import Path

import jinja2

from deployments.demo.demo_pictures import draw_cost, draw_latency, draw_quality, draw_timeline
from deployments.demo.demo_table import cells, headlines, notes, what_to_trust
from deployments.demo.summary import Summary

_TEMPLATE = Path(__file__).with_name("page.html.jinja")


def render(summary: Summary) -> str:
    """Return the page as HTML."""
    head, *rows = cells(summary)
    template = jinja2.Environment(autoescape=True).from_string(_TEMPLATE.read_text())
    return template.render(
        summary=summary,
        headlines=headlines(summary),
        trust=what_to_trust(summary),
        faults=summary.faults,
        head=head,
        rows=rows,
        notes=notes(summary),
        cost=draw_cost(summary),
        quality=draw_quality(summary),
        latency=draw_latency(summary),
        courses=[(story, draw_timeline(story)) for story in summary.rollouts],
    )
