"""What it takes to drive a role: one small protocol for scripted, learned and served policies alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from envs.journeys.feed import JourneyFeed, WorldFeed
from envs.observation import Observation
from envs.philox import uniforms
from envs.scenario import Scenario

if TYPE_CHECKING:
    from envs.histories import Listening
    from envs.impressions import ImpressionLog
    from envs.market import Observations, VectorMarket
    from envs.protocol import CellCredit


@dataclass(frozen=True)
class Flight:
    """What every policy is told when a flight of B markets starts."""

    scenario: Scenario
    num_markets: int
    num_campaigns: int
    seeds: NDArray[np.uint64]  # [B], for a policy's own random numbers
    market: VectorMarket | None = None  # only for privileged policies, in evaluation
    listening: Listening | None = None  # only where a policy reads listeners
    journeys: JourneyFeed | None = None  # only for attribution, where the scenario has journeys


class Policy(Protocol):
    """Drives all agents of one role in B markets."""

    name: str
    privileged: bool

    def start(self, flight: Flight) -> None:
        """A new flight begins."""

    def act(self, observation: Observation) -> Any:
        """The role's action for observations [B, n, ·]: see `envs.protocol.Actions` for its form.

        Beside it a policy may say more in an attribute, read after every `act`; None or no attribute says
        nothing: a creative's claims on video [B, C, S] in `premium_value_usd`, an audience's table of
        listeners [B, C, L] in `listener_affinity`, a monitor's alerts of creatives in `creative_alert`, those
        that an orchestrator takes off air in `creative_pause`. Whoever runs a policy may count in `answered`
        what it has answered since its start: a count that stands still or falls tells of one that is stuck or
        has begun anew.
        """


@runtime_checkable
class ListenerReader(Protocol):
    """A policy that may learn from who was shown what: it needs `Flight.listening`, too.

    An audience that reads what was played in order says so by `reads_order`.
    """

    reads_listeners: bool
    """Whether it does."""

    def read_impressions(self, impressions: ImpressionLog) -> None:
        """Takes in an interval's impressions, before `act` on the observation that follows it."""


@runtime_checkable
class CreditReader(Protocol):
    """A policy that hears what the attribution agent says."""

    def read_credit(self, credit: CellCredit) -> None:
        """Takes in the message delivered now, before `act`."""


@runtime_checkable
class StateReader(Protocol):
    """A policy that needs more than its own role sees: what others see, or what was said on the board."""

    def read_observations(self, observations: Observations) -> None:
        """Takes in what every role sees, before `act` on its own part of it."""


@runtime_checkable
class TroubleReader(Protocol):
    """A monitor that is told how its team fares, beside what it sees."""

    def read_troubles(self, number: int) -> None:
        """Takes in how many roles have failed or are suspected so far in the flight, before `act`."""


def reads_listeners(policy: Policy) -> TypeGuard[ListenerReader]:
    """Whether a policy wants the impressions of every interval."""
    return isinstance(policy, ListenerReader) and policy.reads_listeners


_POLICY_STREAM = 90


def policy_seeds(market_seeds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Seeds [B] for policies' own draws: one Philox block away from the market's, which stay hidden."""
    high, low = np.moveaxis((uniforms(market_seeds, _POLICY_STREAM, (2,)) * 2**32).astype(np.uint64), -1, 0)
    seeds: NDArray[np.uint64] = (high << np.uint64(32)) | low
    return seeds


def flight_of(
    market: VectorMarket, *, privileged: bool = False, listening: bool = False, order: bool = False
) -> Flight:
    """What policies may know of a market that was just reset.

    `listening` for `Team.reads_listeners`, with the `order` of the last plays for `Team.reads_order`.
    """
    return Flight(
        scenario=market.scenario,
        num_markets=market.num_markets,
        num_campaigns=market.num_campaigns,
        seeds=policy_seeds(market.seeds),
        market=market if privileged else None,
        listening=market.listening(order=order) if listening else None,
        journeys=None if market.journeys is None else WorldFeed(market.journeys),
    )
