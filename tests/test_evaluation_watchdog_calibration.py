import json

import numpy as np
import pytest

from envs.catalogue import INCIDENT_KINDS
from envs.scenario import load_scenario
from evaluation.rollout import Course
from evaluation.watchdog.calibration import (
    alarm_rate,
    clean,
    fit_season,
    in_season,
    quiet,
    record,
    struck,
    threshold,
    weeks_of,
)
from evaluation.watchdog.power import rate_interval
from policies.watchdog.signals import KINDS, Signal, harmonics
from policies.watchdog.thresholds import SHARE, calibration, calibration_file, season, threshold_at

DEFAULT = load_scenario("default")


def poisson_flights(seed: int, flights: int = 400) -> Signal:
    rng = np.random.default_rng(seed)
    expected = rng.uniform(2.0, 8.0, (48, flights, 3))
    return Signal(rng.poisson(expected).astype(float), expected)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_threshold_keeps_its_rate_on_other_flights(rate: float) -> None:
    level = threshold("silent_agent", poisson_flights(1), rate, 3, 4 / 7)
    assert alarm_rate("silent_agent", poisson_flights(1), level, 3, 4 / 7) <= rate
    assert alarm_rate("silent_agent", poisson_flights(1), 0.97 * level, 3, 4 / 7) > 0.7 * rate
    weeks = 400 * 3 * 4 / 7
    low, high = rate_interval(
        round(alarm_rate("silent_agent", poisson_flights(2), level, 3, 4 / 7) * weeks), weeks
    )
    assert low <= 1.3 * rate and high >= 0.7 * rate


def test_a_season_that_was_put_in_is_found() -> None:
    truth = np.array([0.3, -0.2, 0.1, 0.05])
    angle = 2.0 * np.pi * (np.arange(48) % 12) / 12
    factor = np.exp(harmonics(np.sin(angle), np.cos(angle)) @ truth)[:, None, None]
    rng = np.random.default_rng(3)
    expected = np.full((48, 300, 3), 30.0)
    plain = Signal(rng.poisson(expected * factor).astype(float), expected)
    found = fit_season(plain, DEFAULT)
    np.testing.assert_allclose(found, truth, atol=0.01)
    np.testing.assert_allclose(in_season(plain, truth.tolist(), DEFAULT).expected, expected * factor)


def test_the_scenarios_of_the_trial() -> None:
    for kind, name in zip(KINDS, INCIDENT_KINDS[1:], strict=True):
        scenario = struck(DEFAULT, kind)
        assert scenario.incidents.kinds == scenario.held_out.incident_kinds == (name,)
        assert scenario.incidents.incident_probability == 1.0
    assert clean(DEFAULT).incidents.incident_probability == 0.0
    assert weeks_of(DEFAULT) == pytest.approx(4 / 7)


def test_the_thresholds_that_are_shipped() -> None:
    table = calibration()
    assert json.loads(calibration_file().read_text()) == table
    rates = table["false_alarms_per_campaign_week_and_kind"]
    assert {*table["thresholds"]} == {*KINDS} == {*SHARE}
    for kind in KINDS:
        levels = table["thresholds"][kind]
        assert levels == sorted(levels, reverse=True) and rates == sorted(rates)
        assert threshold_at(kind, rates[2]) == pytest.approx(levels[2])
        assert levels[3] <= threshold_at(kind, 0.5 * (rates[2] + rates[3])) <= levels[2]
    assert {*season()} <= {*KINDS}


@pytest.mark.slow
def test_the_rate_is_kept_on_clean_flights_that_never_calibrated() -> None:
    """64 flights of another seed and team: each kind at a quarter a campaign-week, within its interval."""
    from evaluation.watchdog.calibration import SEASONAL

    streams = record(quiet("value-aware"), Course(clean(DEFAULT), "train", 4242, 64, 64))
    weeks = 64 * DEFAULT.campaigns * weeks_of(DEFAULT)
    for kind in KINDS:
        stream = in_season(streams[kind], season()[kind], DEFAULT) if kind in SEASONAL else streams[kind]
        rate = alarm_rate(kind, stream, threshold_at(kind, 0.25), DEFAULT.campaigns, weeks_of(DEFAULT))
        assert rate_interval(round(rate * weeks), weeks)[0] <= 0.5, kind
