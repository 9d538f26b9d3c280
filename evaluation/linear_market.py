"""Our market where value is linear in what is bought: every opportunity's price and expected gain.

There the clairvoyant bound of `evaluation.bounds` is exact (scenario `linear`). Values are the simulator's
own closed forms with its true parameters, in expectation over outcomes; prices are the opportunities' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.bids import SERVED, Bids
from envs.dynamics import INITIAL_RECALL
from envs.errors import InterludeError
from envs.market import INITIAL_ARM, VectorMarket
from envs.response import HEALTH_MAX
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import Float, Int
from envs.truth import clairvoyant_prices
from evaluation.bounds import Bound, clairvoyant_bound_of_choices, dual_prices_of_periods
from evaluation.intervals import Interval, MarketBootstrap
from evaluation.rollout import Course, Progress

Kind = Literal["exact", "upper"]
INEXHAUSTIBLE: Final = 1000.0
"""Days' volumes that a rival's daily budget must hold, for its bids never to depend on what it won."""
_MAX_CAP = 100


class NoBoundError(InterludeError):
    """A market in which what is bought now changes what can be bought later, in either direction."""


def why_no_bound(scenario: Scenario) -> list[str]:
    """Reasons why no clairvoyant bound holds in a scenario; empty where one does."""
    values = scenario.values
    reasons = {
        "several campaigns of ours bid against each other": scenario.campaigns > 1,
        "pods sell several slots at once": max(scenario.auction.slots) > 1,
        "rivals react to what we win": scenario.rivals.reactive,
        "rivals' budgets run out and pace": scenario.rivals.daily_budget_fraction < INEXHAUSTIBLE,
        "recall is valued, which exposure raises": values.recall_gain_usd > 0 or values.recall_level_usd > 0,
        "listeners' health is valued": values.health_usd > 0,
        "conversions are valued, which recall raises": (
            values.conversion_usd > 0 and not scenario.listeners.steady
        ),
    }
    return [reason for reason, holds in reasons.items() if holds]


def bound_kind(scenario: Scenario) -> Kind:
    """`exact` where listeners are steady and nobody is capped, else `upper`: fatigue only takes value away.

    Raises:
        NoBoundError: no bound holds; every reason is named.
    """
    reasons = why_no_bound(scenario)
    if reasons:
        raise NoBoundError(
            f"scenario {scenario.name!r} has no clairvoyant bound: {'; '.join(reasons)}. Scenario 'linear' "
            "has an exact one; elsewhere compare with the best-known clairvoyant play, which is no bound"
        )
    free = scenario.listeners.daily_frequency_cap == _MAX_CAP and scenario.daily_cap_fraction is None
    return "exact" if scenario.listeners.steady and free else "upper"


class Opportunities(NamedTuple):
    """What could be bought in a flight of one market, N opportunities inside the price table."""

    interval: Int  # [N]
    segment: Int  # [N]
    price_usd: Float  # [N] price to beat
    gain_usd: Float  # [N, K] expected J of winning it with each arm on air; −inf where the arm cannot run


def impression_value(
    market: VectorMarket,
    b: int,
    t: int,
    listener: Int,
    placement: Int,
    quality: Float,
    *,
    rested: bool = True,
) -> Float:
    """Expected value of an attended impression of every arm: [N, K] USD, before any exposure.

    Args:
        market: reset.
        b: the market of its batch.
        t: interval.
        listener: [N].
        placement: [N].
        quality: [N].
        rested: whether a first exposure lacks what wear-in takes; without it, an upper bound of any exposure.
    """
    m, values = market.parameters, market.scenario.values
    arm_format, script = cat.ARMS[:, 0], cat.ARMS[:, 1]
    segment = m.listener_segment[b, listener]
    effect = m.log_arm[b, 0][..., None] + m.log_mood[b, 0].transpose(1, 2, 0)[arm_format, script]  # [S, K, M]
    effect = np.exp(effect)[segment]  # [N, K, M]
    base = m.affinity[b, 0, listener] * quality * m.attention[b, t, placement]
    base = base * (np.exp(-m.wear_in[b, 0]) if rested else 1.0)
    z = base[:, None, None] * cat.ARM_FIT.T[placement][..., None] * effect
    completed = res.completion_probability(z, cat.ARM_HAZARD[:, None])
    recall = res.recall_of(INITIAL_RECALL, 0.0)
    converting = (cat.ARM_CONVERSION * m.conversion[b, 0])[:, None]
    converted = res.conversion_probability(z, converting, recall)
    worth = values.completion_usd * completed + values.conversion_usd * converted
    expected = (worth * m.mood_probability[b, t][segment][:, None]).sum(-1)
    return np.asarray(market.scenario.impression_weight * expected)


def attended_share(market: VectorMarket, b: int, t: int) -> Float:
    """[P] share of impressions that somebody attends; the price of the others is wasted."""
    m = market.parameters
    share = np.full(cat.P, 1.0 - con.INATTENTIVE_SHARE)
    for slot in range(m.incident_kind.shape[1]):
        start = m.incident_start[b, slot]
        on = start <= t < start + m.incident_length[b, slot]
        if on and m.incident_kind[b, slot] == con.INVALID_TRAFFIC:
            share[m.incident_placement[b, slot]] -= con.INVALID_SHARE
    return share


def flight_opportunities(market: VectorMarket, b: int = 0) -> Opportunities:
    """All opportunities of a flight of market b that have a price.

    Nothing that is bought changes them, so that they can be asked for at any time after the reset.

    Raises:
        NoBoundError: in this scenario it would.
    """
    bound_kind(market.scenario)
    steady = market.scenario.listeners.steady
    now, state = market.interval, market.market_state
    health = state.health.copy()
    found: list[tuple[Int, Int, Float, Float]] = []
    if not steady:
        state.health[:] = HEALTH_MAX  # every listener there could be
    try:
        for t in range(market.scenario.intervals):
            market.interval = t
            prices = clairvoyant_prices(market, b)
            priced = np.isfinite(prices.price_usd[:, 0])
            placement, segment = prices.placement[priced], prices.segment[priced]
            price = prices.price_usd[priced, 0]
            value = impression_value(
                market, b, t, prices.listener[priced], placement, prices.quality[priced], rested=steady
            )
            attended = attended_share(market, b, t)[placement]
            gain = attended[:, None] * value - ((1.0 - attended) * price)[:, None]
            runs = cat.ARM_FIT.T[placement] > 0.0
            runs &= ~cat.NEEDS_SCREEN[cat.ARM_FORMAT] | (prices.visible[priced] > 0)[:, None]
            gain = np.where(runs & _may_air(t), gain, -np.inf)
            found.append((np.full(len(price), t), segment, price, gain))
    finally:
        market.interval, state.health[:] = now, health
    return Opportunities(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _may_air(t: int) -> NDArray[np.bool_]:
    """[K] a flight starts with its first arm, and video needs a grant, which takes an interval to arrive."""
    opening: NDArray[np.bool_] = np.arange(cat.K) == INITIAL_ARM
    granted: NDArray[np.bool_] = (cat.ARM_FORMAT != cat.VIDEO) | (t > 1)
    return opening if t == 0 else granted


def market_bound(market: VectorMarket, b: int = 0) -> Bound:
    """The clairvoyant bound of market b; `choice` is the arm of interval t and segment s at t · S + s.

    Raises:
        NoBoundError: no bound holds in this scenario.
    """
    found = flight_opportunities(market, b)
    group = found.interval * cat.S + found.segment
    budget = float(market.parameters.budget_usd[b, 0])
    return clairvoyant_bound_of_choices(found.gain_usd, found.price_usd, group, budget)


def dual_prices(market: VectorMarket, b: int = 0) -> tuple[Bound, Float]:
    """The bound of market b, and the dual price of every interval [T] by which a bidder comes nearest to it.

    Raises:
        NoBoundError: no bound holds in this scenario.
    """
    found, bound = flight_opportunities(market, b), market_bound(market, b)
    arm = bound.choice[found.interval * cat.S + found.segment]
    own = found.gain_usd[np.arange(len(arm)), arm]
    budget, intervals = float(market.parameters.budget_usd[b, 0]), market.scenario.intervals
    return bound, dual_prices_of_periods(
        own, found.price_usd, found.interval, intervals, budget, bound.bid_dual
    )


def expected_gain(market: VectorMarket) -> Float:
    """[B] expected J of what was bought in the interval just played, by the closed forms; needs `log=True`.

    For steady listeners alone. Realised J is this plus the noise of outcomes, whose mean is 0: this is what a
    bound is compared with, market by market.
    """
    t, gain = market.interval - 1, np.zeros(market.num_markets)
    for b, rows in enumerate(market.bids):
        served = Bids(*(column[rows.status == SERVED] for column in rows))
        value = impression_value(market, b, t, served.listener, served.placement, served.quality)
        on_air = market.aired[b, 0][served.segment]
        attended = attended_share(market, b, t)[served.placement]
        own = value[np.arange(len(on_air)), on_air]
        gain[b] = (attended * own - (1.0 - attended) * served.paid_usd).sum()
    return gain


@dataclass(frozen=True, eq=False)
class CourseBound:
    """The bound of every market of a course."""

    kind: Kind
    bound_usd: Float  # [n]
    attained_usd: Float  # [n] by whole purchases with the money there is
    dual: Float  # [n]

    @property
    def gap_fraction(self) -> float:
        """Duality gap over the bound, of all markets together."""
        return float((self.bound_usd - self.attained_usd).sum() / self.bound_usd.sum())


def course_bound(course: Course, progress: Progress | None = None) -> CourseBound:
    """The clairvoyant bound of every market of a course, in the order of its seeds.

    Raises:
        NoBoundError: no bound holds in its scenario.
    """
    kind = bound_kind(course.scenario)
    bounds = []
    for n in range(course.num_markets):
        market = VectorMarket(course.scenario, 1, split=course.split, taste_pool=course.taste_pool)
        market.reset(market_seeds(course.split, course.seed, n, 1))
        bounds.append(market_bound(market))
        if progress is not None:
            progress(1)
    return CourseBound(
        kind,
        np.array([bound.bound_usd for bound in bounds]),
        np.array([bound.attained_usd for bound in bounds]),
        np.array([bound.dual for bound in bounds]),
    )


@dataclass(frozen=True)
class FractionOfBound:
    """How near a team comes to a bound, or to the best play known."""

    fraction: Interval
    """Mean J / mean bound."""
    regret_usd: Interval
    """Mean of bound − J, a market."""


def fraction_of_bound(objective_usd: Float, bound_usd: Float) -> FractionOfBound:
    """A team's share of a bound and its regret, with paired intervals over markets.

    Args:
        objective_usd: [n] J of the team on n markets, realised or expected.
        bound_usd: [n] the bound on the same markets; without a positive mean the share is not a number.
    """
    bootstrap = MarketBootstrap(np.stack([objective_usd, bound_usd]))
    lift = bootstrap.lift(0, 1)
    share = Interval(1 + lift.estimate, 1 + lift.low, 1 + lift.high, lift.kind, lift.count, lift.confidence)
    return FractionOfBound(share, bootstrap.difference(1, 0))
