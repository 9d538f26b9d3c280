from pathlib import Path

import pytest

from envs.errors import InterludeError
from evaluation import browser


def test_without_a_browser_an_error_says_what_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.find_browser() is None
    with pytest.raises(InterludeError, match="chromium"):
        browser.dom(tmp_path / "page.html")


@pytest.mark.skipif(browser.find_browser() is None, reason="no Chromium is installed")
def test_what_the_console_says_is_heard(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>hello</p><script>console.error('broken')</script>", encoding="utf-8")
    shown, console = browser.dom(page)
    assert "<p>hello</p>" in shown
    assert len(console) == 1 and "broken" in console[0]
