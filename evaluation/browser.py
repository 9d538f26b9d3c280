"""A page as a browser shows it, where a Chromium is installed: for pictures of reports, and their tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from envs.errors import InterludeError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_SECONDS: Final = 120


def find_browser() -> str | None:
    """Path of a Chromium, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def screenshot(page: Path, picture: Path, width: int, height: int, *, dark: bool = False) -> None:
    """Writes what a window of this size, in CSS pixels, shows of a local page, as PNG."""
    dress = ["--blink-settings=preferredColorScheme=0"] if dark else []
    _run(page, *dress, f"--window-size={width},{height}", f"--screenshot={picture.resolve()}")


def dom(page: Path) -> tuple[str, list[str]]:
    """A local page as it stands after loading, and what its console said."""
    shown = _run(page, "--enable-logging=stderr", "--dump-dom", "--virtual-time-budget=10000")
    console = [line for line in shown.stderr.splitlines() if ":CONSOLE" in line]
    return shown.stdout, console


def _run(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    browser = find_browser()
    if browser is None:
        raise InterludeError(f"no browser is installed: looked for {', '.join(NAMES)}")
    # without its sandbox, which containers do not allow: the pages are our own
    fixed = ("--headless", "--disable-gpu", "--no-sandbox", "--hide-scrollbars")
    with tempfile.TemporaryDirectory(prefix="interlude-browser-") as profile:
        command = [browser, *fixed, f"--user-data-dir={profile}", *options, page.resolve().as_uri()]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise InterludeError(f"{browser} cannot show {page}: {error}") from error
