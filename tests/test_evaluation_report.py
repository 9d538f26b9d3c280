import base64
import re

import pytest

from envs.scenario import load_scenario
from evaluation.compare import Comparison, compare
from evaluation.metrics import KPIS
from evaluation.report import flight_figure, html_report, parts_figure, standing_figure
from evaluation.rollout import Course


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    scenario = load_scenario("quick").model_copy(update={"intervals": 12, "name": "a <b> & c"})
    return compare(["pid", "oracle"], Course(scenario, "train", num_markets=4))


def test_the_page_stands_alone(comparison: Comparison) -> None:
    page = html_report(comparison)
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "a &lt;b&gt; &amp; c" in page and "<b> & c" not in page
    images = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(images) == 3
    for image in images:
        assert base64.b64decode(image).startswith(b"\x89PNG")
    for tag in KPIS:
        assert tag in page
    for standing in comparison.standings:
        assert standing.entrant.name in page


def test_figures_show_every_team(comparison: Comparison) -> None:
    names = {standing.entrant.name for standing in comparison.standings}
    for figure in (standing_figure(comparison), parts_figure(comparison)):
        assert {label.get_text() for label in figure.axes[0].get_yticklabels()} == names
    flight = flight_figure(comparison)
    assert len(flight.axes) == 6
    for axes in flight.axes:
        assert {line.get_label() for line in axes.get_lines()} == names


def test_stacked_parts_end_where_the_objective_is(comparison: Comparison) -> None:
    (axes,) = parts_figure(comparison).axes
    widths = [bar.get_width() for bar in axes.patches]
    objectives = [standing.objective.estimate for standing in comparison.standings]
    assert sum(widths) == pytest.approx(sum(objectives))
