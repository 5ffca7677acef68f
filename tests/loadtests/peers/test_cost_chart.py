from xml.etree import ElementTree as ET

from loadtests.peers.cost_chart import draw
from loadtests.peers.report import ServingReport

_SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_shows_every_figure(report: ServingReport) -> None:
    """A dot for the CPU time of the closed run, one for the p99 at the steady rate that was kept; each says
    what it is, and whatever stands in a name does no harm."""
    picture = ET.fromstring(draw(report))
    titles = [title.text for title in picture.findall(f".//{_SVG}circle/{_SVG}title")]
    assert titles == ["quick, 1 connection: 0.25 ms", "quick, 40.6 requests/s: 1,500 ms"]
    said = [text.text for text in picture.findall(f".//{_SVG}text")]
    assert said[said.index("slow") + 1] == "did not keep up"


def test_the_picture_needs_nothing_from_elsewhere(report: ServingReport) -> None:
    """No font, script or image by URL."""
    assert draw(report).count("http") == draw(report).count("http://www.w3.org/2000/svg") == 1


def test_further_right_is_more(report: ServingReport) -> None:
    """Twice the CPU time lies further right, by the same step at every place of the axis."""
    (part,) = report.parts
    rows = [
        part.figures[0].model_copy(update={"server": f"s{ms}", "cpu_ms_per_request": ms}) for ms in (1, 2, 4)
    ]
    more = report.model_copy(update={"parts": (part.model_copy(update={"figures": tuple(rows)}),)})
    dots = ET.fromstring(draw(more)).findall(f".//{_SVG}circle[{_SVG}title]")
    one, two, four = (float(dot.attrib["cx"]) for dot in dots[:3])
    assert two - one > 0
    assert abs((two - one) - (four - two)) < 0.2
