"""Small markets and actions for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import CREATIVE_CHOICES, MAX_CAMPAIGNS
from envs.market import Step, VectorMarket
from envs.protocol import (
    BOUNDS,
    CREATIVES_SHAPE,
    Actions,
    Alert,
    CreativeAlert,
    CreativePause,
    Directive,
    SegmentValue,
    action_shape,
)
from envs.scenario import Scenario
from envs.seeds import Split, market_seeds

Team = Callable[[VectorMarket], Actions]


def tiny(**changes: Any) -> Scenario:
    """A scenario that plays in milliseconds."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "description": "for tests",
        "campaigns": 2,
        "intervals": 6,
        "opportunities_per_interval": 24,
        "listeners": {"count": 32},
    }
    return Scenario(**(fields | changes))


def started(scenario: Scenario, count: int = 1, seed: int = 0, split: Split = "train") -> VectorMarket:
    market = VectorMarket(scenario, count, split=split)
    market.reset(market_seeds(split, seed, 0, count))
    return market


def quiet(market: VectorMarket) -> Actions:
    """Everybody bids the value, airs audio and says nothing."""
    b, c = market.num_markets, market.num_campaigns

    def of(role: str, field: str) -> NDArray[Any]:
        kind = np.int64 if BOUNDS[role][field].integer else np.float64
        return np.zeros((b, *action_shape(role, field, c)), kind)

    return Actions(
        audience=SegmentValue(of("audience", "affinity") + 1.0, of("audience", "confidence")),
        creative=of("creative", "creative"),
        bidding=of("bidding", "log_multiplier"),
        monitor=Alert(*(of("monitor", field) for field in Alert._fields)),
        orchestrator=Directive(
            budget_share=of("orchestrator", "budget_share") + 1.0,
            aggression_cap=np.full((b, MAX_CAMPAIGNS), BOUNDS["orchestrator"]["aggression_cap"].high),
            throttle=of("orchestrator", "throttle") + 1.0,
            pause=of("orchestrator", "pause"),
            premium_grant=of("orchestrator", "premium_grant"),
        ),
    )


def with_bids(actions: Actions, log_multiplier: float) -> Actions:
    bidding = actions.bidding.copy()
    bidding[..., 0] = log_multiplier
    return actions._replace(bidding=bidding)


def with_directive(actions: Actions, **fields: Any) -> Actions:
    return actions._replace(orchestrator=actions.orchestrator._replace(**fields))


class RandomTeam:
    """Uniform actions over the whole of every space, a market's own whatever its batch."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, market: VectorMarket) -> Actions:
        drawn = [self._one(market, int(seed)) for seed in market.seeds]
        return stack(drawn)

    def _one(self, market: VectorMarket, market_seed: int) -> Actions:
        rng = np.random.default_rng([self.seed, market_seed, market.interval])

        def of(role: str, field: str) -> NDArray[Any]:
            bounds, shape = BOUNDS[role][field], (1, *action_shape(role, field, market.num_campaigns))
            if bounds.integer:
                high = CREATIVE_CHOICES if field == "creative" else int(bounds.high) + 1
                return rng.integers(0, high, shape)
            return rng.uniform(bounds.low, bounds.high, shape)

        return Actions(
            audience=SegmentValue(*(of("audience", field) for field in SegmentValue._fields)),
            creative=of("creative", "creative"),
            bidding=of("bidding", "log_multiplier"),
            monitor=Alert(*(of("monitor", field) for field in Alert._fields)),
            orchestrator=Directive(*(of("orchestrator", field) for field in Directive._fields)),
            premium_value_usd=of("creative", "premium_value_usd"),
            creative_alert=CreativeAlert(
                *(rng.integers(0, int(b.high) + 1, (1, *CREATIVES_SHAPE)) for b in BOUNDS["monitor"].values())
            ),
            creative_pause=CreativePause(rng.integers(0, 2, (1, *CREATIVES_SHAPE))),
        )


def leaves(tree: Any) -> list[NDArray[Any]]:
    """All arrays of nested tuples, in order."""
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in leaves(part)]
    return [] if tree is None else [np.asarray(tree)]


def stack(trees: list[Any]) -> Any:
    """Concatenates nested tuples of arrays along the axis of markets."""
    first = trees[0]
    if isinstance(first, tuple):
        parts = [stack(list(parts)) for parts in zip(*trees, strict=True)]
        return type(first)(*parts)
    return None if first is None else np.concatenate(trees)


def play(market: VectorMarket, team: Team) -> list[Step]:
    """The rest of the flight."""
    return [market.step(team(market)) for _ in range(market.interval, market.scenario.intervals)]
