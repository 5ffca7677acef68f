import re
from xml.etree import ElementTree as ET

from loadtests.peers.cost_chart import draw_costs
from loadtests.peers.report import ServingReport

_SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_shows_every_figure(report: ServingReport) -> None:
    """The picture and its label have the CPU times and the p99, and name the server that did not keep up."""
    picture = ET.fromstring(draw_costs(report))
    said = ["quick, 1 connection: 0.25 ms", "quick, 40.6 requests/s: 1,500 ms"]
    assert picture.attrib["aria-label"].endswith("side by side. " + "; ".join(said))
    shown = {text.text for text in picture.iter(f"{_SVG}text")}
    assert {"quick", "0.25", "1,500", "slow", "did not keep up", "1 connection"} <= shown


def test_the_picture_needs_nothing_from_elsewhere(report: ServingReport) -> None:
    """The picture loads nothing from other addresses and has colours for light and dark pages."""
    content = draw_costs(report)
    assert not re.findall(r"""(?:href=|src=|url\()["']?http""", content)
    assert "prefers-color-scheme: dark" in content


def test_further_right_is_more(report: ServingReport) -> None:
    """The axis is logarithmic: each doubling has the same distance."""
    (part,) = report.parts
    rows = [
        part.figures[0].model_copy(update={"server": f"s{ms}", "cpu_ms_per_request": ms}) for ms in (1, 2, 4)
    ]
    more = report.model_copy(update={"parts": (part.model_copy(update={"figures": tuple(rows)}),)})
    dots = ET.fromstring(draw_costs(more)).find(f".//{_SVG}g[@id='PathCollection_1']")
    assert dots is not None
    one, two, four = (float(dot.attrib["x"]) for dot in dots.iter(f"{_SVG}use"))
    assert two - one > 0
    assert abs((two - one) - (four - two)) < 0.2
