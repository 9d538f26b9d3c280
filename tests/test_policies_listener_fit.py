from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from envs.calibration.fit import ListenerSpread
from envs.errors import ConfigurationError
from interlude import app
from policies.audience.history import ListeningHistory
from policies.listener_fit import fit_listeners

LISTENERS, ITEMS = 800, 400


def history(taste_sd: float, activity_sd: float = 0.5) -> ListeningHistory:
    """Listeners with one taste each, who play an item in proportion to their affinity for it."""
    rng = np.random.default_rng(3)
    taste = rng.normal(size=(LISTENERS, 4)) / 2.0
    score = taste @ rng.normal(size=(4, ITEMS))
    affinity = np.exp(taste_sd * score - taste_sd**2 / 2.0)
    listener, item = np.nonzero(rng.uniform(size=affinity.shape) < 0.15 * affinity)
    plays = np.exp(activity_sd * rng.normal(size=LISTENERS))[listener] * 1000.0
    return ListeningHistory(
        listener.astype(np.int32),
        item.astype(np.int32),
        np.maximum(1, plays / np.bincount(listener, minlength=LISTENERS)[listener]).astype(np.int64),
        np.arange(LISTENERS),
        np.arange(ITEMS),
    )


def test_spreads_follow_the_truth() -> None:
    found = [fit_listeners(history(sd)) for sd in (0.0, 0.5, 1.0)]
    assert found[0].taste_sd < 0.15 < found[1].taste_sd < found[2].taste_sd
    assert 0.7 < found[2].taste_sd < 1.1, "the truth is 1; what is not seen of it shrinks the estimate"
    for spread in found:
        assert spread.activity_sd == pytest.approx(0.5, abs=0.06)
    assert fit_listeners(history(1.0)) == found[2]


def test_too_little_data_is_refused() -> None:
    one = ListeningHistory(
        np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1, np.int64), np.arange(1), np.arange(1)
    )
    with pytest.raises(ConfigurationError, match="1 listeners and 0 items"):
        fit_listeners(one)


def test_a_history_alone_makes_a_scenario(tmp_path: Path) -> None:
    made = history(1.0)
    rows = zip(made.listener, made.item, made.plays, strict=True)
    (tmp_path / "user_artists.dat").write_text(
        "userID\tartistID\tweight\n" + "".join(f"{a}\t{b}\t{n}\n" for a, b, n in rows)
    )
    out, report = tmp_path / "own.yaml", tmp_path / "own.html"
    arguments = ["--listening-history", str(tmp_path), "--scenario-out", str(out), "--report", str(report)]
    run = CliRunner().invoke(app, ["calibrate", *arguments])
    assert run.exit_code == 0 and "log affinity" in run.stdout and "log affinity" in report.read_text()
    assert "taste_sd" in out.read_text() and "price" not in out.read_text()
    assert isinstance(fit_listeners(made), ListenerSpread)
