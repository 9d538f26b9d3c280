"""Off-policy estimates from event logs, against the simulator's truth; and the Open Bandit sample."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.choices import chooser, separable, softmax
from typer.testing import CliRunner

from envs import catalogue as cat
from envs.errors import ConfigurationError, UnknownNameError
from envs.event_log import column_of, read_table
from envs.market import VectorMarket
from envs.seeds import market_seeds
from envs.state import Float
from evaluation.choice_logs import (
    creative_choices,
    read_open_bandit,
    thompson_from_random,
    uniform_over,
)
from evaluation.off_policy import (
    Estimate,
    Logged,
    doubly_robust,
    inverse_propensity,
    on_policy,
    self_normalised,
)
from evaluation.rollout import Course, play
from interlude import app
from policies.policy import flight_of
from policies.registry import make_team

ESTIMATORS = (inverse_propensity, self_normalised, doubly_robust)
TARGETS, LOGS_A_TARGET = 5, 10
MARKETS, TRUE_MARKETS = 48, 1536


def logged_choices(folder: Path, case: int, target: Float) -> Logged:
    """A log of its own markets and its own random policy, read for the target."""
    course = Course(separable(), "train", 1000 + case, MARKETS, event_log=folder)
    play(chooser(softmax(case, 0.5), "logging"), course)
    return creative_choices(folder, "logging", target)


@cache
def truth(target: int) -> float:
    """Completions a choice when the target policy itself plays other markets of the same kind."""
    market = VectorMarket(separable(), TRUE_MARKETS // 4, split="train")
    total, choices = 0.0, 0
    for part in range(4):
        team = chooser(softmax(500 + target, 1.0), "target")
        seeds = market_seeds("train", 5, part * market.num_markets, market.num_markets)
        observations = market.reset(seeds)
        team.start(flight_of(market))
        for t in range(market.scenario.intervals):
            step = market.step(team.act(observations))
            observations = step.observations
            if t > 0:  # what airs in the first interval, nobody chose
                total += step.outcome.completions.sum()
                choices += market.num_markets * cat.S
    return total / choices


def cases(folder: Path, numbers: range) -> list[tuple[float, list[Estimate]]]:
    """Truth and estimates of simulated cases."""
    found = []
    for case in numbers:
        target = case % TARGETS
        logged = logged_choices(folder / str(case), case, softmax(500 + target, 1.0))
        found.append((truth(target), [estimator(logged) for estimator in ESTIMATORS]))
    return found


def test_estimates_meet_the_truth_of_a_few_simulated_cases(tmp_path: Path) -> None:
    for true, estimates in cases(tmp_path, range(2)):
        for one in estimates:
            assert one.low <= true <= one.high
            assert one.mean_weight == pytest.approx(1.0, abs=0.15)
            assert one.units == MARKETS and one.rows == MARKETS * 7 * cat.S
            assert (one.high - one.low) < 0.5 * true  # it says something


@pytest.mark.slow
def test_intervals_hold_the_simulators_truth_in_nine_of_ten_of_fifty_cases(tmp_path: Path) -> None:
    found = cases(tmp_path, range(TARGETS * LOGS_A_TARGET))
    for place, estimator in enumerate(ESTIMATORS):
        held = [one[place].low <= true <= one[place].high for true, one in found]
        assert np.mean(held) >= 0.9, (estimator.__name__, np.mean(held))


def test_a_policy_read_from_its_own_log_earns_what_the_log_says(tmp_path: Path) -> None:
    """Rewards, one by one, are the outcomes of the interval in which the choice aired."""
    probability = softmax(1, 0.5)
    course = Course(separable(4), "train", 0, 3, event_log=tmp_path)
    play(chooser(probability, "logging"), course)
    logged = creative_choices(tmp_path, "logging", probability)
    np.testing.assert_allclose(logged.weight, 1.0)
    cells = read_table(tmp_path, "cells", "logging")
    interval, completions = (column_of(cells, "cells", name) for name in ("interval", "completions"))
    assert logged.reward.sum() == completions[interval > 0].sum() > 0
    assert on_policy(logged.reward, logged.unit).value == pytest.approx(inverse_propensity(logged).value)
    segments = read_table(tmp_path, "segments", "logging")
    aired = np.stack(
        [column_of(segments, "segments", name) for name in ("format", "script", "length", "call_to_action")],
        -1,
    ).astype(np.int64)
    on_air = cat.arm_index(aired).reshape(4, 3, cat.S)[1:]  # interval, market, segment
    chosen = logged.action.reshape(3, 3, cat.S)
    same = (on_air == chosen) | (cat.ARM_FORMAT[chosen] == cat.VIDEO)  # video airs as audio until granted
    assert same.all() and (on_air == chosen).mean() > 0.8


def test_what_a_tracking_outage_hides_is_left_out(tmp_path: Path) -> None:
    fields = separable(12).model_dump()
    fields["incidents"] |= {"incident_probability": 1.0, "kinds": ("tracking_outage",)}
    scenario = type(separable())(**fields)
    play(chooser(softmax(1, 0.5), "logging"), Course(scenario, "train", 0, 4, event_log=tmp_path))
    hidden = creative_choices(tmp_path, "logging", softmax(1, 0.5), "completions")
    seen = creative_choices(tmp_path, "logging", softmax(1, 0.5), "skips")
    assert len(seen.reward) == 4 * 11 * cat.S > len(hidden.reward) > 0


def test_deterministic_logs_and_silent_ones_are_refused(tmp_path: Path) -> None:
    for name, words in (("pid", "could not have chosen otherwise"), ("value-aware", "cannot say")):
        play(make_team(name), Course(separable(3), "train", 0, 1, event_log=tmp_path))
        with pytest.raises(ConfigurationError, match=words):
            creative_choices(tmp_path, name, uniform_over("audio"))
    with pytest.raises(UnknownNameError, match="reward"):
        creative_choices(tmp_path, "pid", uniform_over("audio"), "money")
    with pytest.raises(UnknownNameError, match="nobody"):
        creative_choices(tmp_path, "nobody", uniform_over("audio"))


def test_words_name_arms() -> None:
    display = uniform_over("display, humorous")
    assert display.sum() == pytest.approx(1.0) and (display > 0).sum() == 4
    assert (cat.ARMS[display > 0][:, :2] == [2, 2]).all()
    assert (uniform_over("informative,humorous") > 0).sum() == 24
    with pytest.raises(UnknownNameError, match="radio"):
        uniform_over("radio")


def test_the_command_reads_an_event_log(tmp_path: Path) -> None:
    team = make_team("random")
    play(team, Course(separable(4), "train", 0, 4, event_log=tmp_path / "log"))
    arguments = ["off-policy", "--event-log", str(tmp_path / "log"), "--creatives", "audio,display"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "completions a choice of creatives 'audio,display'" in result.stdout
    assert all(word in result.stdout for word in ("ips", "snips", "doubly robust", "one choice otherwise"))
    result = CliRunner().invoke(app, ["off-policy"])
    assert result.exit_code != 0 and "name either" in result.stderr
    result = CliRunner().invoke(app, [*arguments[:3], "--creatives", "radio"])
    assert result.exit_code == 2 and "radio" in result.stderr


def test_thompsons_click_rate_from_the_random_log_of_open_bandit(data_dir: Path) -> None:
    """Real logs: 95 % intervals of all estimators hold the click rate that Thompson's own log shows."""
    random, thompson = (read_open_bandit(data_dir / "open-bandit", name) for name in ("random", "thompson"))
    assert len(random.item) == len(thompson.item) == 10_000
    np.testing.assert_allclose(random.propensity, 1 / 80)
    logged, own = thompson_from_random(random, thompson), on_policy(thompson.click)
    assert own.value == pytest.approx(0.0042)
    for estimator in ESTIMATORS:
        found = estimator(logged)
        assert found.low <= own.value <= found.high
        assert own.low <= found.value <= own.high
        assert found.effective_sample_size > 1000


def test_a_bandit_log_that_is_broken_names_its_line(tmp_path: Path) -> None:
    header = "item_id,position,click,propensity_score\n"
    for text, words in (
        (header + "1,1,0,0.5\n1,x,0,0.5\n", "line 3"),
        (header, "no rows"),
        ("a\n1\n", "line 2"),
    ):
        with gzip.open(tmp_path / "random_all.csv.gz", "wt") as file:
            file.write(text)
        with pytest.raises(ConfigurationError, match=words):
            read_open_bandit(tmp_path, "random")
    (tmp_path / "random_all.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_open_bandit(tmp_path, "random")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_open_bandit(tmp_path, "thompson")
