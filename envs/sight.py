"""Turns the market's state into what each role sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign_sight import see_campaigns
from envs.crew import Crew
from envs.inventory import EVENT_INTERVALS
from envs.kernel import allocating_kernel, inner_kernel
from envs.observation import CLOCK, SCHEMAS, Observation
from envs.philox import normals
from envs.rows import starts
from envs.state import Float
from envs.team_sight import see_board, see_effects

if TYPE_CHECKING:
    from envs.market import VectorMarket

SURVEY_SD: Final = 0.03
SURVEY_STREAM: Final = 50
_AT = starts(CLOCK)
_EVENT_INTERVALS = EVENT_INTERVALS


class Sight(NamedTuple):
    """The newest observation of every role, in arrays that every interval overwrites."""

    audience: Observation  # [B, 1, ·]
    campaign: Observation  # [B, C, ·] of its creative and of its bidding agent
    monitor: Observation  # [B, 1, ·]
    orchestrator: Observation  # [B, 1, ·]
    clock: Float  # [B, ·] fields that all roles share


def new_sight(num_markets: int, campaigns: int) -> Sight:
    """Room for the observations of a batch."""

    def rows(role: str, agents: int) -> Observation:
        return np.zeros((num_markets, agents, SCHEMAS[role].size), np.float32)

    return Sight(
        audience=rows("audience", 1),
        campaign=rows("bidding", campaigns),
        monitor=rows("monitor", 1),
        orchestrator=rows("orchestrator", 1),
        clock=np.zeros((num_markets, CLOCK.size)),
    )


@inner_kernel
def _read_clock(clock, event_interval, t, intervals, intervals_per_day, first, end):  # type: ignore[no-untyped-def]
    angle = 2.0 * math.pi * (t % intervals_per_day) / intervals_per_day
    for b in range(first, end):
        event = event_interval[b]
        clock[b, _AT.elapsed_fraction] = t / intervals
        clock[b, _AT.hour_sine] = math.sin(angle)
        clock[b, _AT.hour_cosine] = math.cos(angle)
        ahead, active = event >= t, event >= 0 and event <= t < event + _EVENT_INTERVALS
        clock[b, _AT.event_countdown] = (event - t) / intervals if ahead else 1.0
        clock[b, _AT.event_active] = 1.0 if active else 0.0


@allocating_kernel
def _look(sight, m, st, brief, feed, board, out, aired, noise, t, k, first, end):  # type: ignore[no-untyped-def]
    clock = sight.clock
    _read_clock(clock, m.event_interval, t, k.intervals, k.intervals_per_day, first, end)
    now, before = min(t, k.intervals - 1), max(0, t - 1)
    missing = see_campaigns(sight.campaign, m, st, brief, feed, board, out, clock, noise, now, first, end)
    missing += see_effects(
        sight.audience,
        sight.monitor,
        m,
        st,
        brief,
        feed,
        board.spend_plan,
        out,
        aired,
        clock,
        before,
        k.weight,
        first,
        end,
    )
    missing += see_board(sight.orchestrator, st, brief, feed, board, out.health, clock, first, end)
    return missing


def survey_noise(seeds: NDArray[np.uint64], interval: int, shape: tuple[int, int]) -> Float:
    """[B, C, S] by which a recall survey after `interval` intervals errs."""
    return np.asarray(SURVEY_SD * normals(seeds, SURVEY_STREAM + 1000 * (1 + interval), shape))


def look(market: VectorMarket, sight: Sight, crew: Crew) -> bool:
    """Overwrites what every role sees with the market of this moment; False where a number is NaN."""
    segments = market.market_state.segment_health.shape[1]
    shape = (market.num_campaigns, segments)
    noise = market.survey_noise(shape)
    moment = (
        market.parameters,
        market.market_state,
        market.brief,
        market.feed,
        market.board._replace(credit=None),  # no role sees it here; with it, all is compiled a second time
        market.last_outcome,
        market.aired,
        noise,
        market.interval,
        market.constants,
    )
    missing: list[int] = crew.run(lambda _part, first, end: _look(sight, *moment, first, end))
    return sum(missing) == 0
