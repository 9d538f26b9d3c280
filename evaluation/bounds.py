"""The most that a campaign could have gained, had it known every price: the exact clairvoyant bound.

For opportunities with gain g and cost d, and a budget B,

    OPT = max Σ g·x  subject to  Σ d·x ≤ B, 0 ≤ x ≤ 1  =  min over μ ≥ 0 of  μ·B + Σ max(0, g − μ·d)

(a fractional knapsack and its dual: Dantzig 1957). Any μ ≥ 0 gives a valid bound, the best is where
opportunities sorted by g / d exhaust the budget. What counts as gain is the bidder's own affair: v − d for a
profit maximiser, who therefore bids v / (1 + μ); v for a value maximiser, who bids v / μ; v − λ·d for one who
pays for a share λ of the spend in vain, who bids v / (λ + μ). In a first-price auction the number is the
same, for a clairvoyant bids exactly d. `docs/bounds.md` says where it holds in our market.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
_TOLERANCE = 1e-12
_TIE = 1e-9
"""Relative difference of worth below which bids might not tell two opportunities apart."""


@dataclass(frozen=True, eq=False)
class Bound:
    """A bound, and the best whole purchase found below it: the truth lies between the two."""

    bound_usd: float
    """No purchase within the budget gains more."""
    dual: float
    """μ: USD of gain that the last dollar of the budget brings; 0 where the budget does not bind."""
    attained_usd: float
    """Gain of `taken`, which buys whole opportunities only."""
    spend_usd: float
    """Cost of `taken`, at most the budget."""
    taken: NDArray[np.bool_]
    """[N] what is bought."""
    choice: NDArray[np.int64]
    """[groups] which alternative each group has; zeros where there is one only."""
    bid_dual: float
    """μ of a bidder whose alternatives are `choice`: bids by it spend the budget, but for a last piece."""

    @property
    def gap_usd(self) -> float:
        """Duality gap: what whole opportunities, and one choice a group, may cost against the bound."""
        return self.bound_usd - self.attained_usd

    @property
    def gap_fraction(self) -> float:
        """Duality gap / bound; 0 where the bound is 0."""
        return self.gap_usd / self.bound_usd if self.bound_usd > 0.0 else 0.0


def clairvoyant_bound(gain_usd: ArrayLike, cost_usd: ArrayLike, budget_usd: float) -> Bound:
    """The bound by sorting, exact: its fractional part is one opportunity at most.

    Args:
        gain_usd: [N] of every opportunity that can be bought; those that lose are never bought.
        cost_usd: [N] price to beat, at least 0.
        budget_usd: B, at least 0.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, a negative cost or budget.
    """
    gain, cost = _checked(gain_usd, cost_usd, budget_usd, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = np.where(gain > 0.0, gain / cost, 0.0)
    order = np.argsort(-worth, kind="stable")
    order = order[worth[order] > 0.0]
    spent = np.cumsum(cost[order])
    whole = int(np.searchsorted(spent, budget_usd, side="right"))  # how many fit
    bound, dual = float(gain[order[:whole]].sum()), 0.0
    if whole < len(order):
        last = order[whole]
        dual = float(worth[last])
        bound += dual * (budget_usd - (spent[whole - 1] if whole else 0.0))
    taken = np.zeros(len(gain), np.bool_)
    taken[order[:whole]] = True
    _fill(taken, order[whole:], cost, budget_usd)
    attained, spend = float(gain[taken].sum()), float(cost[taken].sum())
    return Bound(bound, dual, attained, spend, taken, np.zeros(1, np.int64), dual)


def clairvoyant_bound_of_choices(
    gain_usd: ArrayLike, cost_usd: ArrayLike, group: ArrayLike, budget_usd: float
) -> Bound:
    """The bound where every group of opportunities shares one of K alternatives, such as the creative on air.

    min over μ ≥ 0 of  μ·B + Σ over groups of max over k of Σ max(0, g_k − μ·d): it never lies above the bound
    with the best alternative of each opportunity, and no choice of alternatives exceeds it. The minimum is
    found by bisection on the spend, which falls in μ.

    Args:
        gain_usd: [N, K] of every opportunity under every alternative; -inf where it cannot have it.
        cost_usd: [N] price to beat, at least 0.
        group: [N] which group an opportunity is of, from 0.
        budget_usd: B, at least 0.
    """
    gain, cost = _checked(gain_usd, cost_usd, budget_usd, 2)
    groups = np.asarray(group, np.int64)
    if groups.shape != cost.shape or (len(groups) and groups.min() < 0):
        raise ValueError(f"group must be [N] = {cost.shape} numbers from 0, got shape {groups.shape}")
    order = np.argsort(groups, kind="stable")
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    gain, cost, groups = gain[order], cost[order], groups[order]
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.zeros(0, np.int64)
    row = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(groups)]))

    def at(dual: float) -> tuple[float, float, NDArray[np.int64], Float]:
        """Dual function, its spend, the choice of each group [G], the gain [N] under it."""
        if not len(cost):
            return dual * budget_usd, 0.0, np.zeros(0, np.int64), np.zeros(0)
        surplus = np.add.reduceat(np.maximum(0.0, gain - dual * cost[:, None]), starts, 0)
        choice = surplus.argmax(1)
        own = gain[np.arange(len(cost)), choice[row]]
        spend = float(cost[own > dual * cost].sum())
        return dual * budget_usd + float(surplus.max(1).sum()), spend, choice, own

    low, high = 0.0, 0.0
    if at(0.0)[1] > budget_usd:
        high = 1.0
        while at(high)[1] > budget_usd:
            low, high = high, 2.0 * high
        while high - low > _TOLERANCE * high:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if at(middle)[1] > budget_usd else (low, middle)
    found = []
    for dual in (low, high):  # on either side of the last choice that changes
        bound, _, choice, own = at(dual)
        chosen = np.zeros(int(groups.max()) + 1 if len(groups) else 0, np.int64)
        chosen[groups[starts]] = choice
        whole = clairvoyant_bound(own[inverse], cost[inverse], budget_usd)
        found.append(replace(whole, bound_usd=bound, dual=dual, choice=chosen))
    best = max(found, key=lambda one: one.attained_usd)
    return replace(best, bound_usd=min(one.bound_usd for one in found))


def dual_price_purchase(
    value_usd: ArrayLike, price_usd: ArrayLike, budget_usd: float, dual: float, in_vain: float = 1.0
) -> NDArray[np.bool_]:
    """[N] what a bidder of v / (λ + μ) wins at second price, in order of arrival, until its money is gone.

    Args:
        value_usd: [N] v.
        price_usd: [N] price to beat.
        budget_usd: B; a bid is never above what is left of it.
        dual: μ, such as `Bound.dual`.
        in_vain: λ, the weight of the spend in its gain v − λ·d: 1 for profit, 0 for value.
    """
    value, price = np.asarray(value_usd, np.float64), np.asarray(price_usd, np.float64)
    with np.errstate(divide="ignore"):
        wish = np.divide(value, in_vain + dual)
    won, left = np.zeros(len(value), np.bool_), budget_usd
    for n in np.flatnonzero(wish > price):
        if min(wish[n], left) > price[n]:
            won[n] = True
            left -= price[n]
    return won


def dual_prices_of_periods(
    gain_usd: ArrayLike, cost_usd: ArrayLike, period: ArrayLike, periods: int, budget_usd: float, dual: float
) -> Float:
    """[periods] dual prices near μ by which whole opportunities use the budget up.

    One price for the whole flight meets a budget by a piece of an opportunity. In whole ones it stops short
    of it, and up to the price of one is left; or it buys that one too, and what is worth more but comes last
    finds no money. So no period buys at μ what only fits by a piece; then, while one fits, that period lowers
    its price to its next-best opportunity in which it gains most.

    Args:
        gain_usd: [N] of every opportunity.
        cost_usd: [N] price to beat, at least 0.
        period: [N] which period it is of, from 0.
        periods: how many there are.
        budget_usd: B.
        dual: μ, such as `Bound.bid_dual`: what gains more than μ a dollar must fit the budget.
    """
    gain, cost = _checked(gain_usd, cost_usd, budget_usd, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = np.where(gain > 0.0, gain / cost, 0.0)
    of_period = np.asarray(period, np.int64)
    wanted = [np.flatnonzero((of_period == n) & (worth > 0.0)) for n in range(periods)]
    ranked = [rows[np.argsort(-worth[rows], kind="stable")] for rows in wanted]
    certain = dual * (1.0 + _TIE)
    bought = [int((worth[rows] > certain).sum()) for rows in ranked]
    left = budget_usd - float(cost[worth > certain].sum())
    while True:
        fitting = []
        for n, (rows, first) in enumerate(zip(ranked, bought, strict=True)):
            if first < len(rows):
                end = first + int((worth[rows[first:]] >= worth[rows[first]] * (1.0 - _TIE)).sum())
                if cost[rows[first:end]].sum() <= left:  # no price tells equals apart: all or none
                    fitting.append((float(gain[rows[first:end]].sum()), n, end))
        if not fitting:
            break
        _, n, end = max(fitting)
        left -= float(cost[ranked[n][bought[n] : end]].sum())
        bought[n] = end
    prices = np.full(periods, dual)
    for n, (rows, count) in enumerate(zip(ranked, bought, strict=True)):
        below = float(worth[rows[count]]) if count < len(rows) else 0.0
        above = float(worth[rows[count - 1]]) if count else np.inf
        if not (
            below * (1.0 + _TIE) <= dual and dual * (1.0 + _TIE) < above
        ):  # between what is bought and what is not
            prices[n] = 0.5 * (below + (above if np.isfinite(above) else max(2.0 * below, dual)))
    return prices


@dataclass(frozen=True, eq=False)
class DistributionOracle:
    """Who knows what prices are like but not the one to come, in a first-price auction."""

    bid_usd: Float
    """[N] argmax over b of (v − (λ + μ)·b)·G(b); 0 where no bid pays."""
    expected_gain_usd: float
    """Σ (v − λ·b)·G(b)."""
    expected_spend_usd: float
    """Σ b·G(b), at most the budget."""
    dual: float
    """μ."""


def distribution_oracle(
    value_usd: ArrayLike,
    scale_usd: ArrayLike,
    quantile: ArrayLike,
    budget_usd: float,
    *,
    probability_within_table: float = 1.0,
    in_vain: float = 1.0,
) -> DistributionOracle:
    """Best bids against a known distribution of prices, on average within the budget.

    Args:
        value_usd: [N] v.
        scale_usd: [N] each opportunity's price is its scale × a draw from the table.
        quantile: [Q] equally likely prices of the table, sorted upwards; a bid equal to a price beats it.
        budget_usd: B.
        probability_within_table: P(price within the table); beyond it nothing wins.
        in_vain: λ, the weight of the spend in the gain.

    An optimal bid is one of the table's prices. Of these, (G, b·G) on the lower convex hull are the only
    candidates, and which one is best rises with v / ((λ + μ) × scale): one search a bid.
    """
    value, scale = np.asarray(value_usd, np.float64), np.asarray(scale_usd, np.float64)
    table = np.asarray(quantile, np.float64)
    chance = probability_within_table * np.arange(1, len(table) + 1) / len(table)
    hull = _lower_hull(np.r_[0.0, chance], np.r_[0.0, chance * table])
    g, spend, bid = np.r_[0.0, chance][hull], np.r_[0.0, chance * table][hull], np.r_[0.0, table][hull]
    slope = np.diff(spend) / np.diff(g)

    def at(dual: float) -> tuple[NDArray[np.int64], float]:
        with np.errstate(divide="ignore", invalid="ignore"):
            pick = np.searchsorted(slope, value / ((in_vain + dual) * scale), side="left")
        return pick, float((scale * spend[pick]).sum())

    low, high = 0.0, 0.0
    if at(0.0)[1] > budget_usd:
        high = 1.0
        while at(high)[1] > budget_usd:
            low, high = high, 2.0 * high
        while high - low > _TOLERANCE * high:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if at(middle)[1] > budget_usd else (low, middle)
    pick, cost = at(high)
    return DistributionOracle(scale * bid[pick], float((value * g[pick]).sum()) - in_vain * cost, cost, high)


def _lower_hull(x: Float, y: Float) -> NDArray[np.int64]:
    """Indices of the lower convex hull of points with rising x (Andrew 1979)."""
    hull: list[int] = []
    for n in range(len(x)):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[n] - x[a]) < (y[n] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(n)
    return np.array(hull, np.int64)


def _fill(taken: NDArray[np.bool_], order: NDArray[np.int64], cost: Float, budget_usd: float) -> None:
    """Adds, best first, what still fits."""
    left = budget_usd - float(cost[taken].sum())
    for n in order:
        if cost[n] <= left:
            taken[n] = True
            left -= cost[n]


def _checked(gain_usd: ArrayLike, cost_usd: ArrayLike, budget_usd: float, axes: int) -> tuple[Float, Float]:
    gain, cost = np.asarray(gain_usd, np.float64), np.asarray(cost_usd, np.float64)
    if gain.ndim != axes or cost.ndim != 1 or len(gain) != len(cost):
        raise ValueError(f"gain and cost must have the same N, got shapes {gain.shape} and {cost.shape}")
    if np.isnan(gain).any() or (gain == np.inf).any() or not np.isfinite(cost).all() or (cost < 0.0).any():
        raise ValueError("gains must not be NaN or +inf, costs finite and at least 0")
    if not (np.isfinite(budget_usd) and budget_usd >= 0.0):
        raise ValueError(f"the budget must be finite and at least 0, got {budget_usd}")
    return gain, cost
