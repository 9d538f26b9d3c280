"""The best clairvoyant play known where no bound holds: a search over plays of one market's own future.

`oracle` plays with the true responses; a cross-entropy search (Rubinstein 1999) then tries, on copies of the
same market, other dual prices of budget over the flight, other bids by segment and placement and other shadow
prices, and keeps what earned most, the luck of that market's draws included. It is called best known, never a
bound: a longer search may find more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from envs import catalogue as cat
from envs.market import VectorMarket
from envs.observation import Observation
from envs.protocol import MAX_MULTIPLIER_LOG
from envs.seeds import market_seeds
from envs.state import Float
from evaluation.rollout import Course, Progress
from policies.pacing import Pacer
from policies.policy import Flight, flight_of
from policies.registry import make_team, tuned_knobs
from policies.team import Team

KNOTS: Final = 6
"""Points in time between which a searched dual price is interpolated."""
SHADOWS: Final = ("recall_price", "funnel_price", "fatigue_price")
GROUPS: Final = 4
"""Sets of shadow prices a generation tries; the plays of a group share one."""
_ELITE = 5
_MIN_SD = 0.02
_DUAL_SD, _BIAS_SD, _SHADOW_SD = 0.25, 0.15, 0.25


@dataclass(frozen=True, eq=False)
class BestKnown:
    """What a search found in each market of a course."""

    objective_usd: Float  # [n] J of the best play
    oracle_usd: Float  # [n] J of the oracle that the search started from
    plays: int
    """Flights tried in each market."""


class _Schedule(Pacer):
    """A dual price by the clock instead of by the spend."""

    def __init__(self, path: Float) -> None:
        """`path` is [M, T]."""
        self.path = path

    def start(self, flight: Flight, first: Any) -> None:
        """A new flight."""
        self._interval, self.dual = 0, self.path[:, 0]

    def update(self, before: Any, now: Any) -> None:
        """An interval on."""
        self._interval += 1
        self.dual = self.path[:, min(self._interval, self.path.shape[1] - 1)]


class _Biased:
    """A bidding policy with offsets on its log-multipliers."""

    privileged = True

    def __init__(self, policy: Any, offset: Float) -> None:
        """`offset` is [B, P + S]."""
        self.name, self.policy, self.offset = policy.name, policy, offset

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self.policy.start(flight)

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S]."""
        logs = self.policy.act(observation).copy()
        logs[..., 1:] += self.offset[:, None]
        bounded: Float = np.clip(logs, -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG)
        return bounded


def best_known(
    course: Course,
    *,
    population: int = 48,
    generations: int = 20,
    progress: Progress | None = None,
) -> BestKnown:
    """Searches every market of a course; the result is never below the oracle's own play.

    Args:
        course: the markets.
        population: plays a generation, shared among `GROUPS` sets of shadow prices.
        generations: rounds of the search; 0 leaves the oracle.
        progress: is told of each market.
    """
    best, oracle = np.empty(course.num_markets), np.empty(course.num_markets)
    for n in range(course.num_markets):
        oracle[n], best[n] = _search(course, n, population, generations)
        if progress is not None:
            progress(1)
    return BestKnown(best, oracle, 1 + population * generations)


def _search(course: Course, number: int, population: int, generations: int) -> tuple[float, float]:
    """J of the oracle and of the best play in the course's market `number`."""
    rng = np.random.default_rng([course.seed, number])
    campaigns, size = course.scenario.campaigns, -(-population // GROUPS)
    alone = _market(course, number, 1)
    value, path = _play(make_team("oracle"), alone)
    oracle = best = float(value[0])
    dual = campaigns * KNOTS
    centre = np.zeros(dual + cat.P + cat.S + len(SHADOWS))
    spread = np.repeat([_DUAL_SD, _BIAS_SD, _SHADOW_SD], [dual, cat.P + cat.S, len(SHADOWS)])
    market = _market(course, number, size)
    for generation in range(generations):
        drawn = centre + spread * rng.normal(size=(GROUPS, size, len(centre)))
        drawn[..., -len(SHADOWS) :] = drawn[:, :1, -len(SHADOWS) :]
        if generation == 0:
            drawn[0, :, -len(SHADOWS) :] = 0.0
            drawn[0, 0] = 0.0
        earned = np.stack([_play(_variant(group, path), market)[0] for group in drawn])
        best = max(best, float(earned.max()))
        flat = drawn.reshape(-1, len(centre))
        elite = flat[np.argsort(-earned.ravel())[: max(2, len(flat) // _ELITE)]]
        centre = 0.3 * centre + 0.7 * elite.mean(0)
        spread = np.maximum(_MIN_SD, 0.3 * spread + 0.7 * elite.std(0))
    return oracle, best


def _market(course: Course, number: int, copies: int) -> VectorMarket:
    """The course's market `number`, several times over, reset."""
    market = VectorMarket(course.scenario, copies, split=course.split, taste_pool=course.taste_pool)
    market.reset(np.repeat(market_seeds(course.split, course.seed, number, 1), copies))
    return market


def _variant(drawn: Float, path: Float) -> Team:
    """The oracle with searched settings [size, ·]; `path` is [C, T], the dual prices it had itself."""
    size, (campaigns, intervals) = len(drawn), path.shape
    shadow = dict(zip(SHADOWS, np.exp(drawn[0, -len(SHADOWS) :]), strict=True))
    tuned = tuned_knobs("oracle")
    team = make_team(
        "oracle", {name: tuned[name] * factor for name, factor in shadow.items() if name in tuned}
    )
    at = np.linspace(0.0, KNOTS - 1.0, intervals)
    knots = drawn[:, : campaigns * KNOTS].reshape(size * campaigns, KNOTS)
    offset = np.stack([np.interp(at, np.arange(KNOTS), row) for row in knots])
    bidding: Any = team.policies["bidding"]
    bidding.desk.pacer = _Schedule(np.tile(path, (size, 1)) * np.exp(offset))
    biased = _Biased(bidding, drawn[:, campaigns * KNOTS : -len(SHADOWS)])
    return Team(team.name, {**team.policies, "bidding": biased}, model_aware=True)


def _play(team: Team, market: VectorMarket) -> tuple[Float, Float]:
    """J [B] of a flight, and the dual prices [M, T] that the desk had in it."""
    observations = market.reset(market.seeds)
    team.start(flight_of(market, privileged=True))
    earned, duals = np.zeros(market.num_markets), []
    bidding: Any = team.policies["bidding"]
    desk = getattr(bidding, "policy", bidding).desk
    for _ in range(market.scenario.intervals):
        step = market.step(team.act(observations))
        observations = step.observations
        earned += step.rewards.team
        duals.append(desk.pacer.dual.copy())
    return earned, np.stack(duals, 1)


def regret_usd(objective_usd: Sequence[float] | Float, best: BestKnown) -> Float:
    """[n] best known − J; negative where a team found what the search did not."""
    return np.asarray(best.objective_usd - np.asarray(objective_usd, np.float64))
