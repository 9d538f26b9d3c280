import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from envs.scenario import load_scenario
from evaluation.bound_report import Measure, fractions, measured
from evaluation.browser import dom, find_browser, screenshot
from evaluation.compare import Comparison, compare
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.report import html_report, main
from evaluation.rollout import Course

MAX_BYTES = 5_000_000


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    scenario = load_scenario("quick").model_copy(update={"intervals": 12, "name": "a <b> & c"})
    return compare(["pid", "oracle"], Course(scenario, "train", num_markets=4))


@pytest.fixture(scope="module")
def report(comparison: Comparison) -> str:
    return html_report(comparison)


class Images(HTMLParser):
    """Attributes of a page's images."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def test_the_page_stands_alone(report: str, comparison: Comparison) -> None:
    assert report.startswith("<!doctype html>") and report.endswith("</html>\n")
    assert not re.findall(r'(?:src|href)="(?!data:)', report)
    assert "<script" not in report and "@import" not in report
    assert "a &lt;b&gt; &amp; c" in report and "<b> & c" not in report
    assert len(report) < MAX_BYTES
    for tag in KPIS:
        assert tag in report
    for standing in comparison.standings:
        assert standing.entrant.name in report


def test_the_headline_results_stand_on_top(report: str, comparison: Comparison) -> None:
    first_figure = report.index("<img")
    for found in comparison.headlines:
        assert report.index(f">{found.result}<") < report.index("Teams, best first") < first_figure


def test_every_image_follows_the_colour_scheme_and_says_what_it_shows(report: str) -> None:
    images = Images(report).found
    assert len(images) == 12
    for image in images:
        assert len(str(image["alt"])) > 20
        assert int(str(image["width"])) > 500 and int(str(image["height"])) > 100
        svg = base64.b64decode(str(image["src"]).removeprefix("data:image/svg+xml;base64,"))
        ElementTree.fromstring(svg)
        assert b"prefers-color-scheme:dark" in svg and b"var(--ink)" in svg
        assert not re.search(rb"#0[123]0[123]0[123]", svg)  # every stand-in colour was replaced


@pytest.fixture(scope="module")
def varied(comparison: Comparison) -> str:
    """The page again, without a profile, and beside the best play known."""
    hero = comparison.hero
    nothing = replace(hero, profile=replace(hero.profile, share=np.full_like(hero.profile.share, np.nan)))
    standings = tuple(nothing if standing is hero else standing for standing in comparison.standings)
    usd = hero.result.metrics[OBJECTIVE] + 1.0
    beside = fractions(comparison, Measure("best-known", usd, None))
    return html_report(replace(comparison, hero=nothing, standings=standings), beside)


def test_the_same_comparison_gives_the_same_page(report: str, comparison: Comparison) -> None:
    assert html_report(comparison) == report


def test_what_a_page_is_told_changes_its_own_section_alone(report: str, varied: str) -> None:
    """To the byte, but for the one section that was told something else and the one that is new."""
    first, second = (page.split("<h2>") for page in (report, varied))
    assert len(second) == len(first) + 1
    changed = [part.split("</h2>")[0] for part in first if part not in second]
    assert changed == ["Who is better, and how sure that is"]


@pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")
def test_a_browser_shows_it_without_complaint(report: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    # a script of the test's own writes down how large every image turned out to be
    measure = (
        "<script>addEventListener('load', () => document.querySelectorAll('img').forEach(image => {"
        "image.dataset.shown = [image.complete, image.naturalWidth, image.clientWidth, image.clientHeight]"
        ".join(' ')}))</script>"
    )
    page.write_text(report.replace("</body>", f"{measure}</body>"), encoding="utf-8")
    shown, console = dom(page)
    assert console == []
    images = Images(shown).found
    assert len(images) == 12
    for image in images:
        complete, *sizes = str(image["data-shown"]).split()
        assert complete == "true" and min(map(int, sizes)) > 100, image["alt"]


@pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")
def test_light_and_dark_differ(report: str, tmp_path: Path) -> None:
    from matplotlib.image import imread

    page = tmp_path / "report.html"
    page.write_text(report, encoding="utf-8")
    for dark in (False, True):
        screenshot(page, tmp_path / "shot.png", 1280, 1600, dark=dark)
        pixels = imread(tmp_path / "shot.png")[..., :3]
        assert pixels.shape[:2] == (1600, 1280)
        assert (pixels.mean() < 0.3) == dark
        assert pixels.std() > 0.05


def test_a_profile_without_meaning_is_left_out_and_said(varied: str, report: str) -> None:
    assert "No performance profile" in varied and "No performance profile" not in report
    first, second = ({str(image["alt"]) for image in Images(page).found} for page in (report, varied))
    (left_out,) = first - second
    assert "profile" in left_out.lower()


@pytest.fixture(scope="module")
def bounded() -> str:
    """A page with the exact bound."""
    scenario = load_scenario("linear").model_copy(update={"intervals": 12})
    found = compare(["pid"], Course(scenario, "train", num_markets=4))
    return html_report(found, measured(found, "exact"))


def test_without_a_bound_nothing_is_said_of_one(report: str) -> None:
    assert "regret" not in report and "clairvoyant" not in report.lower()


def test_shares_and_regret_stand_beside_what_they_are_measured_against(bounded: str) -> None:
    section = bounded.split("How near to what could be had")[1].split("<h2>")[0]
    assert "clairvoyant bound (exact), duality gap" in section and "in expectation" in section
    (figure,) = Images(section).found
    assert "Share of the clairvoyant bound (exact)" in str(figure["alt"]) and "regret" in str(figure["alt"])
    rows = re.findall(r"<td>([\w-]+)</td><td>([\d.]+) % \[[\d.]+, [\d.]+\]</td><td>([\d,]+) \[", section)
    assert {name for name, _, _ in rows} == {"pid", "siloed", "shadow-price"}
    assert all(0.0 < float(share) < 100.0 for _, share, _ in rows)
    assert all(float(regret.replace(",", "")) > 0.0 for _, _, regret in rows)


def test_the_best_known_play_is_never_called_a_bound(varied: str) -> None:
    section = varied.split("How near to what could be had")[1].split("<h2>")[0]
    assert "best-known clairvoyant play (no bound)" in section and "duality gap" not in section
    assert "clairvoyant bound" not in section


@pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")
def test_a_browser_shows_the_bound_without_complaint(bounded: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(bounded, encoding="utf-8")
    shown, console = dom(page)
    assert console == [] and "How near to what could be had" in shown
    assert len(Images(shown).found) == 11


def test_the_picture_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "FILE.png" in capsys.readouterr().err
