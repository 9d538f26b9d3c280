"""Thresholds of the watchdog for given rates of false alarms, found on clean training flights.

`python -m evaluation.watchdog.calibration` writes `configs/watchdog.json`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from envs.catalogue import ALERT_KINDS, INCIDENT_KINDS
from envs.market import Observations, VectorMarket
from envs.output import write_json
from envs.scenario import Incidents, Scenario, load_scenario
from envs.state import Float
from evaluation.rollout import Course, opened
from policies.cell_counts import CellReader
from policies.policy import flight_of
from policies.registry import make_team
from policies.scripted_monitor import QuietMonitor
from policies.team import Team
from policies.watchdog.episodes import Episodes
from policies.watchdog.monitor import DETECTORS
from policies.watchdog.signals import KINDS, PLACES, SCOPE, Signal, Signals, harmonics
from policies.watchdog.thresholds import calibration_file

RATES: Final = (0.005, 0.0125, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""False alarms of one kind in a campaign and week for which thresholds are written."""
TEAMS: Final = ("shadow-price", "certainty-equivalent", "siloed")
FLIGHTS: Final = 192
"""Of each team."""
SEED: Final = 7001
LEAST: Final = 1.0
"""No threshold lies below: where nothing ever alarms on clean flights, any would do."""
SEASONAL: Final = ("rival_surge", "dislike_surge", "silent_agent", "ctr_drop")
"""Kinds whose expected counts go with the hour beyond what traffic and briefs tell."""
Streams = Mapping[str, Signal]
"""By kind, counts of whole flights: [T, B, places] each."""


def clean(scenario: Scenario) -> Scenario:
    """The same kind of market with nothing going wrong."""
    return scenario.model_copy(
        update={"incidents": scenario.incidents.model_copy(update={"incident_probability": 0.0})}
    )


def struck(scenario: Scenario, kind: str) -> Scenario:
    """The same kind of market with two incidents of an alert's kind in every flight, on every split."""
    name = INCIDENT_KINDS[ALERT_KINDS.index(kind)]
    return scenario.model_copy(
        update={
            "incidents": Incidents.model_validate({"incident_probability": 1.0, "kinds": (name,)}),
            "held_out": scenario.held_out.model_copy(update={"incident_kinds": (name,)}),
        }
    )


def quiet(name: str) -> Team:
    """A scripted team without a watchdog."""
    team = make_team(name)
    return Team(team.name, {**team.policies, "monitor": QuietMonitor()}, model_aware=team.model_aware)


class Recorder:
    """Reads a flight's signals without acting on them."""

    def __init__(self, market: VectorMarket, by_hour: Mapping[str, Sequence[float]] | None = None) -> None:
        """For markets that were just reset, with a season or without."""
        markets = market.num_markets
        self._signals = Signals(market.scenario, by_hour)
        self._signals.start(markets)
        self._cells = CellReader(flight_of(market))
        self._calm = {kind: np.zeros((markets, PLACES[SCOPE[kind]]), bool) for kind in KINDS}
        self._heard: list[dict[str, Signal]] = []

    def add(self, observations: Observations) -> None:
        """What is seen of an interval."""
        let = np.ones((len(observations.monitor), PLACES["campaign"], PLACES["placement"]))
        assert observations.board is not None
        counts = self._cells.read(observations.creative, observations.board.spend_plan.bid_usd)
        self._heard.append(self._signals.read(observations.monitor, let, self._calm, counts))

    def streams(self) -> Streams:
        """All that was heard."""
        return {
            kind: Signal(
                *(np.stack(field) for field in zip(*(one[kind] for one in self._heard), strict=True))
            )
            for kind in KINDS
        }


def record(team: Team, course: Course) -> Streams:
    """Signals of a course's flights."""
    parts = []
    for start, count in course.batches():
        market, observations = opened(team, course, start, count)
        recorder = Recorder(market)
        for _ in range(course.scenario.intervals):
            recorder.add(observations)
            observations = market.step(team.act(observations, market.impressions)).observations
        parts.append(recorder.streams())
    return joined(parts)


def joined(parts: Sequence[Streams]) -> Streams:
    """Flights of several batches as one."""
    return {
        kind: Signal(
            *(np.concatenate(field, 1) for field in zip(*(part[kind] for part in parts), strict=True))
        )
        for kind in KINDS
    }


def alarms(kind: str, stream: Signal, level: float) -> Float:
    """[T, B, places] where an episode begins, at a threshold."""
    episodes = Episodes(DETECTORS[kind](), level)
    episodes.start(stream.observed.shape[1:])
    running = np.zeros((len(stream.observed) + 1, *stream.observed.shape[1:]), bool)
    for t, (observed, expected) in enumerate(zip(*stream, strict=True)):
        running[t + 1] = episodes.update(observed, expected)
    begins: Float = (running[1:] & ~running[:-1]).astype(np.float64)
    return begins


def alarm_rate(kind: str, stream: Signal, level: float, campaigns: int, weeks: float) -> float:
    """False alarms in a campaign and week on clean flights that last so many weeks."""
    begun = float(alarms(kind, stream, level).sum())
    told = begun if SCOPE[kind] in ("campaign", "creative") else begun * campaigns  # all of them are told
    return float(told / (stream.observed.shape[1] * campaigns * weeks))


def threshold(kind: str, stream: Signal, rate: float, campaigns: int, weeks: float) -> float:
    """The least statistic at which alarms are no more frequent than `rate`, by bisection."""
    low, high = 0.0, LEAST
    while alarm_rate(kind, stream, high, campaigns, weeks) > rate:
        low, high = high, 2.0 * high
    for _ in range(12 if low > 0.0 else 0):
        middle = 0.5 * (low + high)
        if alarm_rate(kind, stream, middle, campaigns, weeks) > rate:
            low = middle
        else:
            high = middle
    return high


def fit_season(stream: Signal, scenario: Scenario) -> list[float]:
    """Coefficients of `harmonics` that make up for the hour, from the second day on; wild counts are cut."""
    day = scenario.intervals_per_day
    t = np.arange(len(stream.observed))
    # observation t tells of interval t - 1, under the clock of interval t
    ratio = np.ones(day)
    for hour in range(day):
        at = (t % day == hour) & (t >= day)
        observed, expected = stream.observed[at], stream.expected[at]
        known = expected > 0.0
        ratio[hour] = np.minimum(observed, 4.0 * expected + 4.0)[known].sum() / max(
            1e-9, expected[known].sum()
        )
    angle = 2.0 * np.pi * np.arange(day) / day
    log = np.log(np.maximum(ratio, 1e-3))
    basis = harmonics(np.sin(angle), np.cos(angle))
    found: list[float] = np.linalg.lstsq(basis, log - log.mean(), rcond=None)[0].tolist()
    return found


def in_season(stream: Signal, coefficients: Sequence[float], scenario: Scenario) -> Signal:
    """The same counts, with what is to be expected by the hour."""
    angle = 2.0 * np.pi * (np.arange(len(stream.observed)) % scenario.intervals_per_day)
    angle = angle / scenario.intervals_per_day
    factor = np.exp(harmonics(np.sin(angle), np.cos(angle)) @ np.array(coefficients))
    return Signal(stream.observed, stream.expected * factor[:, None, None])


def weeks_of(scenario: Scenario) -> float:
    """How long a flight lasts."""
    return scenario.intervals / scenario.intervals_per_day / 7.0


def calibrate(streams: Streams, scenario: Scenario) -> dict[str, Any]:
    """Seasons, and by kind a threshold for each of `RATES`."""
    season = {kind: fit_season(streams[kind], scenario) for kind in SEASONAL}
    shape = (scenario.campaigns, weeks_of(scenario))
    levels = {}
    for kind in KINDS:
        stream = streams[kind]
        if kind in season:
            stream = in_season(stream, season[kind], scenario)
        levels[kind] = [threshold(kind, stream, rate, *shape) for rate in RATES]
    return {"season": season, "thresholds": levels}


def main(arguments: Sequence[str]) -> int:
    """Plays clean training flights and writes the thresholds."""
    if arguments:
        print("usage: python -m evaluation.watchdog.calibration", file=sys.stderr)
        return 2
    scenario = clean(load_scenario("default"))
    course = Course(scenario, "train", SEED, FLIGHTS)
    streams = joined([record(quiet(name), course) for name in TEAMS])
    write_json(
        calibration_file(),
        {
            "written_by": "python -m evaluation.watchdog.calibration",
            "scenario": scenario.name,
            "split": course.split,
            "seed": SEED,
            "teams": list(TEAMS),
            "flights": FLIGHTS * len(TEAMS),
            "campaign_weeks": FLIGHTS * len(TEAMS) * scenario.campaigns * weeks_of(scenario),
            "false_alarms_per_campaign_week_and_kind": list(RATES),
            **calibrate(streams, scenario),
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
