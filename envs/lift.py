"""What a campaign truly brought: the same flight, the same random numbers, with that campaign silenced.

For evaluation, and for rewards that training may give but nobody could observe. Two questions, two ways to
ask them:

* recorded: everybody else does what they did. The market alone answers: listeners who hear fewer ads, and
  auctions with one bidder less. This is the campaign's incremental effect.
* replayed: the team plays again and may react. This is what the team would have lost without it.

Silence is a pause from the first interval to the last, which everybody reads on the board. In the recorded
case the paused campaign's money goes as it went, since a directive that re-splits budgets would otherwise
hand to others what its silence saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.market import Observations, Step, VectorMarket
from envs.protocol import Actions, Directive
from envs.rewards import segment_size
from envs.scenario import Scenario
from envs.seeds import Split
from envs.state import Float

Act = Callable[[Observations], Actions]
Player = Callable[[VectorMarket], Act]
"""Is told of a batch that was just reset, and gives what acts in it."""


class Totals(NamedTuple):
    """What a flight came to."""

    completions: Float  # [B, C]
    conversions: Float  # [B, C] caused, whenever they are reported
    spend_usd: Float  # [B, C]
    recall: Float  # [B, C] share of listeners who recall the brand at the flight's end
    value_usd: Float  # [B, C] the campaign's own part of J: completions + conversions + recall − waste
    health: Float  # [B] listening at the flight's end against its usual level, mean over listeners
    objective_usd: Float  # [B] J of the team: all campaigns' value, and listener health


class Lift(NamedTuple):
    """A flight as it was and with each campaign silenced; axis 0 of `silenced` is who was silent."""

    factual: Totals
    silenced: Totals  # [C, B, C] and [C, B]

    @property
    def gain(self) -> Totals:
        """Factual − silenced: entry [c, b, d] is what campaign d of market b owes to campaign c.

        The diagonal is a campaign's own incremental lift; off it stands what it did to the others.
        """
        pairs = zip(self.factual, self.silenced, strict=True)
        return Totals(*(factual - silenced for factual, silenced in pairs))


class Recording(NamedTuple):
    """One interval: what everybody did, and what each campaign had left before it."""

    actions: Actions
    budget_left_usd: Float  # [B, C]


def recorded(market: VectorMarket, actions: Actions) -> Recording:
    """What is about to be done in a market, copied: its sender may write over its arrays."""
    return Recording(_copy(actions), market.market_state.budget_left_usd.copy())


def replayed_without(
    market: VectorMarket, seeds: NDArray[np.uint64], recordings: Sequence[Recording], silent: int
) -> Iterator[Step]:
    """The recorded flight of a market again, interval by interval, with campaign `silent` bidding nothing.

    Everybody else does what they did, and the silent campaign's money goes as it went.
    """
    _start(market, seeds, silent)
    for actions, left_usd in recordings:
        market.market_state.budget_left_usd[:, silent] = left_usd[:, silent]
        yield market.step(_silenced(actions, silent))


def incremental_lift(
    scenario: Scenario,
    seeds: NDArray[np.uint64],
    player: Player,
    *,
    split: Split = "held_out",
    replay: bool = False,
    taste_pool: Float | None = None,
    threads: int = 1,
) -> Lift:
    """True incremental lift of every campaign of B markets.

    Args:
        scenario: what kind of market.
        seeds: [B] the markets.
        player: who plays; for a team of policies, start it on the market and give its `act`.
        split: whose markets they are.
        replay: let the player play again, and react, where a campaign is silent; else what it did in the
            factual flight is repeated.
        taste_pool: [pool, ≥ D] tastes of real listeners, as `VectorMarket` takes it.
        threads: that share the markets.
    """
    market = VectorMarket(scenario, len(seeds), split=split, taste_pool=taste_pool, threads=threads)
    factual, recordings = _fly(market, seeds, player)
    silenced = [
        _fly(market, seeds, player, c)[0] if replay else _fly_again(market, seeds, recordings, c)
        for c in range(scenario.campaigns)
    ]
    return Lift(factual, Totals(*(np.stack(field) for field in zip(*silenced, strict=True))))


def _fly(
    market: VectorMarket, seeds: NDArray[np.uint64], player: Player, silent: int | None = None
) -> tuple[Totals, list[Recording]]:
    """A whole flight by a player, with or without one of its campaigns."""
    observations = _start(market, seeds, silent)
    act, steps, recordings = player(market), _Sums(market), []
    for _ in range(market.scenario.intervals):
        recordings.append(recorded(market, act(observations)))
        step = market.step(_silenced(recordings[-1].actions, silent))
        steps.add(step)
        observations = step.observations
    return steps.totals(), recordings


def _fly_again(
    market: VectorMarket, seeds: NDArray[np.uint64], recordings: list[Recording], silent: int
) -> Totals:
    steps = _Sums(market)
    for step in replayed_without(market, seeds, recordings, silent):
        steps.add(step)
    return steps.totals()


class _Sums:
    """Adds up what the steps of a market bring."""

    def __init__(self, market: VectorMarket) -> None:
        self.market = market
        b, c = market.num_markets, market.num_campaigns
        self.completions, self.conversions, self.spend_usd, self.value_usd = np.zeros((4, b, c))
        self.objective_usd = np.zeros(b)

    def add(self, step: Step) -> None:
        """Takes one interval in."""
        out, worth = step.outcome, step.worth
        self.completions += out.completions.sum((-1, -2))
        self.conversions += out.conversions_caused.sum(-1)
        self.spend_usd += out.spend_usd.sum((-1, -2))
        self.value_usd += (worth.completions + worth.conversions + worth.recall - worth.waste).sum(-1)
        self.objective_usd += step.rewards.team

    def totals(self) -> Totals:
        """The sums, and what stands at the end."""
        state, size = self.market.market_state, segment_size(self.market.parameters)
        share = size / size.sum(-1, keepdims=True)
        return Totals(
            completions=self.completions,
            conversions=self.conversions,
            spend_usd=self.spend_usd,
            recall=(state.recall * share[:, None]).sum(-1),
            value_usd=self.value_usd,
            health=(state.segment_health * share).sum(-1),
            objective_usd=self.objective_usd,
        )


def _start(market: VectorMarket, seeds: NDArray[np.uint64], silent: int | None) -> Observations:
    """A new flight; a silent campaign is paused from its first interval on, for all to read."""
    observations = market.reset(seeds)
    if silent is None:
        return observations
    market.board = market.board._replace(directive=_paused(market.board.directive, silent))
    return market._observations()


def _silenced(actions: Actions, silent: int | None) -> Actions:
    if silent is None:
        return actions
    return actions._replace(orchestrator=_paused(actions.orchestrator, silent))


def _paused(directive: Directive, campaign: int) -> Directive:
    pause = directive.pause.copy()
    pause[:, campaign] = 1
    return directive._replace(pause=pause)


def _copy(tree: Any) -> Any:
    """Arrays that stay, whatever their sender does with its own."""
    if isinstance(tree, tuple):
        return type(tree)(*map(_copy, tree))
    return None if tree is None else np.array(tree)
