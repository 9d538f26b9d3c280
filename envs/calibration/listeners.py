"""Listeners, simulated: ad load, forgetting, repetition."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from envs import response as res
from envs.calibration.findings import Findings, curve, straightness
from envs.calibration.laboratory import CALM, UNLIMITED, Laboratory, scenario, total
from envs.catalogue import ARMS, FORMATS, PLACEMENTS, P
from envs.rewards import worth_of
from envs.scenario import load_scenario

YEARS: Final = 3
MONTH_DAYS: Final = 30
EXPOSURES: Final = 14
PANELS: Final = 8
"""Markets an experiment by hand is repeated in: their verticals and creatives differ."""
_A_DAY: Final = 12
"""Intervals of the default clock in a day."""
_QUIET: Final = {"campaigns": 1, "opportunities_per_interval": 1}


def _health_by_day(ads_per_hour: float, ads_a_break: int = 1) -> NDArray[np.float64]:
    """Share of usual listening, day by day, when rivals fill every break and we are silent."""
    kind = scenario(
        campaigns=1,
        intervals=2 * 365 * YEARS,
        intervals_per_day=2,
        opportunities_per_interval=200,
        listeners={"count": 32, "ads_per_hour": ads_per_hour / ads_a_break},
        auction={
            "slots": (ads_a_break,) * P,
            "slot_exposure": (1.0, 1.0),
            "pricing": "generalized_second_price",
            "reserve_fraction": (0.0, 0.0, 0.0),
        },
    )
    laboratory = Laboratory(kind, 1)
    laboratory.even_prices()
    health = [outcome.health.mean() for outcome in laboratory.flight()]
    return np.array(health[1::2])


@cache
def ad_load() -> Findings:
    """Three years of listening at 3, 6, 9 and 12 ads an hour, on the field's own clock."""
    loads = np.array([3.0, 6.0, 9.0, 12.0])
    health = np.array([_health_by_day(load) for load in loads])
    in_the_end = health[:, -365:].mean(1)
    lost = (in_the_end[1] - health[3]) / (in_the_end[1] - in_the_end[3])
    pairs = _health_by_day(12.0, ads_a_break=2)[-365:].mean()
    return Findings(
        {
            "effect": -float(np.polyfit(loads, in_the_end, 1)[0]),
            "linear": straightness(loads, in_the_end),
            "month": float(lost[MONTH_DAYS - 1]),
            "year": float(lost[12 * MONTH_DAYS - 1]),
            "grouping": float(in_the_end[3] - pairs),
        },
        {"load": curve(loads, in_the_end), "lag": curve(np.arange(1, 1 + len(lost)) / MONTH_DAYS, lost)},
    )


def recall(laboratory: Laboratory) -> NDArray[np.float64]:
    """[B, C, L] P(listener recalls the brand)."""
    state = laboratory.state
    return np.asarray(res.recall_of(state.memory_slow, state.memory_fast))


@cache
def memory() -> Findings:
    """One exposure, and what is left of the recall it brought over listeners who had none."""
    per_day = 72  # intervals of 20 minutes
    last = 7 * per_day
    kind = scenario(**_QUIET | {"intervals": last + 1, "intervals_per_day": per_day})
    lift, annoyance = np.zeros(last + 1), np.zeros(last + 1)
    for seed in range(PANELS):
        exposed, spared = Laboratory(kind, 1, seed), Laboratory(kind, 1, seed)
        exposed.expose()
        for t in range(last + 1):
            exposed.play()
            spared.play()
            lift[t] += (recall(exposed) - recall(spared)).mean()
            annoyance[t] += exposed.state.annoyance.mean()
    left, bother = lift / lift[0], annoyance / annoyance[0]
    days = np.arange(last + 1) / per_day
    return Findings(
        {
            "minutes": float(left[1]),
            "day": float(left[per_day]),
            "week": float(left[last]),
            "annoyance": float(bother[per_day] / left[per_day]),
        },
        {"recall": curve(days, left), "annoyance": curve(days, bother)},
    )


def _arm(fmt: int, script: int) -> int:
    return int(np.flatnonzero((ARMS == [fmt, script, 0, 0]).all(1))[0])


def _attitude(laboratory: Laboratory) -> float:
    """Recall less the irritation of those whom repetition turns: M − c · max(0, A − θ)."""
    turned = res.irritation(laboratory.state.annoyance) * laboratory.truth.irritable[:, None, :]
    return float((recall(laboratory) - turned).mean())


def _campaign(exposures: int, apart: int, fmt: int = 0, scripts: int = 1) -> NDArray[np.float64]:
    """Recall and attitude after each of so many exposures, `apart` intervals of two hours apart; [2, n].

    With `apart` 0 all fall into one interval, and what is told is the end of it alone: [2, 1].
    """
    kind = scenario(**_QUIET | {"intervals": max(2, apart * exposures), "listeners": {"count": 96}})
    placement = PLACEMENTS.index("on_screen" if fmt else "music_break")
    found = []
    for seed in range(PANELS):
        laboratory = Laboratory(kind, 1, seed)
        laboratory.state.memory_slow[:] = 0.0
        course = []
        for e in range(exposures):
            laboratory.air(_arm(fmt, e % scripts))
            laboratory.expose(visible=fmt > 0, placement=placement)
            if apart or e == exposures - 1:
                laboratory.play()
                course.append((recall(laboratory).mean(), _attitude(laboratory)))
            for _ in range(apart - 1):
                laboratory.play()
        found.append(course)
    return np.asarray(np.mean(found, 0).T)


@cache
def frequency() -> Findings:
    """Recall and attitude by number and spacing of exposures."""
    counts = np.arange(1, EXPOSURES + 1)
    massed = np.concatenate([_campaign(int(n), 0) for n in counts], 1)
    paced = _campaign(EXPOSURES, 1)
    spaced = [_campaign(8, _A_DAY, fmt, scripts=3) for fmt in range(len(FORMATS))]
    return Findings(
        {
            "recall_audio": float(spaced[0][0, 7]),
            "recall_norm": float(np.mean([course[0, 7] for course in spaced])),
            "linear": straightness(counts[:8], massed[0, :8]),
            "linear_paced": straightness(counts[:8], paced[0, :8]),
            "attitude_peak": float(counts[massed[1].argmax()]),
            "massing": float(massed[0, 7] - spaced[0][0, 7]),
            "spacing": float(spaced[0][1, 7] - massed[1, 7]),
        },
        {
            "recall, massed": curve(counts, massed[0]),
            "attitude, massed": curve(counts, massed[1]),
            "recall, one a day": curve(counts[:8], spaced[0][0]),
            "recall, one an interval": curve(counts, paced[0]),
        },
    )


def _objective_by_cap(cap: int) -> float:
    """The default market's objective under flat bids and a daily frequency cap, USD."""
    kind = load_scenario("default")
    listeners = kind.listeners.model_copy(update={"daily_frequency_cap": cap})
    kind = kind.model_copy(update={"listeners": listeners, "incidents": type(kind.incidents)(**CALM)})
    laboratory = Laboratory(kind, 48)
    laboratory.bid(1.5)
    worth = 0.0
    for _ in range(kind.intervals):
        worth += sum(part.sum() for part in worth_of(laboratory.play(), laboratory.truth, kind)[:4])
    return worth


@cache
def repetition() -> Findings:
    """Who turns negative, what a cap gains, and where the default cap ends."""
    panel = Laboratory(scenario(**_QUIET | {"intervals": 2, "listeners": {"count": 1024}}), 1)
    for _ in range(20):
        panel.expose()
    panel.play()
    deaf = panel.truth.irritable[0] & (res.irritation(panel.state.annoyance[0, 0]) >= 1.0)
    caps = np.array([1, 2, 3, 5, 10])
    uncapped = _objective_by_cap(100)
    gain = np.array([_objective_by_cap(int(cap)) for cap in caps]) / uncapped - 1.0
    crowded = Laboratory(
        scenario(
            campaigns=1,
            intervals=12,
            budget_fraction=UNLIMITED,
            opportunities_per_interval=1000,
            listeners={"count": 16},
            auction={"probability_within_table": (1.0, 1.0, 1.0)},
        ),
        8,
    )
    crowded.bid(1e6)
    shown = total(crowded.flight(), "wins").sum() / (8 * 16)
    figures = {"negative": float(deaf.mean()), "cap_gain": float(gain.max()), "daily_cap": float(shown)}
    return Findings(figures, {"gain": curve(caps, gain)})
