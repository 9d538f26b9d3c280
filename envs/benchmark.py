"""How fast the market is on this machine: all roles' observations, accounts and rewards included, no agents.

Every batch plays whole flights of the same markets with actions prepared beforehand: everybody airs audio and
bids one constant multiplier, the highest with which budgets last (`lasting_multiplier`), so that auctions are
contested to the end. A flight is flown again and again, after once that is not counted, and each of its
intervals counts with its fastest time; resets are not part of it. Batches on one and on two threads take
turns, so that a noisy machine troubles both; where others use the cores, a wall clock tells of them too, and
the processor's own (all threads' time, added) of the market alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from envs.catalogue import CREATIVE_CHOICES, P, S
from envs.footprint import array_bytes, machine, peak_bytes, resident_bytes
from envs.market import VectorMarket
from envs.plain_auction import sell_in_numpy, sell_in_python, stall_of
from envs.protocol import MAX_MULTIPLIER_LOG, Actions, quiet_board
from envs.roofline import OPERATIONS, Limits, Roofline, best, measure_limits, roofline, second_core
from envs.scenario import Scenario, load_scenario
from envs.seeds import market_seeds
from envs.state import Float

AUCTIONNET: Final = "forty-eight-rivals"
LAST_SHARE: Final = 0.95
"""Highest mean share of the budgets that the prepared bids spend in a flight."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured, and how often."""

    batches: tuple[int, ...] = (1, 16, 64, 256, 1024)
    large_batches: tuple[int, ...] = (1, 4, 16)
    """At AuctionNet's scale, where a market-step holds fifty times the auctions."""
    threads: tuple[int, ...] = (1, 2)
    bidders: tuple[tuple[int, int], ...] = ((1, 5), (3, 5), (4, 5), (1, 48), (3, 48), (4, 48))
    """(campaigns, rivals) in the first scenario."""
    bidders_batch: int = 64
    memory_markets: int = 1024
    repeats: int = 3
    seconds: float = 4.0
    """How often a batch flies at least, and how long it goes on."""
    plain_opportunities: int = 20_000
    intervals: int | None = None
    """Shortens flights."""
    limits_megabytes: int = 256

    @classmethod
    def quick(cls) -> Plan:
        """A smoke test of seconds: its figures mean little."""
        return cls(
            batches=(1, 4),
            large_batches=(1,),
            bidders=((1, 5), (3, 48)),
            bidders_batch=4,
            memory_markets=16,
            repeats=2,
            seconds=0.0,
            plain_opportunities=500,
            intervals=4,
            limits_megabytes=8,
        )


class Pace(NamedTuple):
    """One batch on some threads."""

    campaigns: int
    rivals: int
    batch_size: int
    threads: int
    market_steps_per_second: float
    auctions_per_second: float  # opportunities that arrived and were sold, or found no buyer
    bids_per_second: float  # of our campaigns; rivals' are drawn from the top, not one by one
    impressions_per_second: float  # of our campaigns, simulated: each stands for `impression_weight`
    market_steps_per_processor_second: float


class Memory(NamedTuple):
    """What a batch that was reset and stepped once occupies."""

    markets: int
    array_bytes: int
    resident_growth_bytes: int
    peak_growth_bytes: int  # above what the process held before, resets and steps included


class Course(NamedTuple):
    """One scenario's part of the benchmark."""

    scenario: str
    opportunities_per_interval: int
    slots: tuple[int, ...]
    pricing: str
    log_multiplier: float
    spent_fraction: float
    paces: list[Pace]
    two_threads_over_one: dict[int, float]  # by batch size
    second_core: float  # the same ratio of pure arithmetic: 2 where a second core was free for it
    resets_per_second: float  # markets drawn and readied, in the largest batch
    roofline: Roofline
    python_auctions_per_second: float  # `envs.plain_auction`, the inner auction alone
    numpy_auctions_per_second: float


class Target(NamedTuple):
    """What was aimed at on two cores, and what came of it."""

    name: str
    measured: float
    target: float
    met: bool


class MarketSpeed(NamedTuple):
    """All that was measured."""

    machine: dict[str, Any]
    limits: Limits
    operations_counted: dict[str, str]
    courses: list[Course]
    bidders: list[Pace]
    pettingzoo_steps_per_second: float
    memory: Memory
    targets: list[Target]


def measure(plan: Plan, scenario: str = "default", say: Say = lambda text: None) -> MarketSpeed:
    """Runs the whole benchmark on this machine."""
    first, large = (_shortened(load_scenario(name), plan.intervals) for name in (scenario, AUCTIONNET))
    log_multiplier, _ = lasting_multiplier(first)  # compiles, too
    memory = measure_memory(first, plan.memory_markets)
    say(f"{memory.markets} markets: {memory.array_bytes / 1e6:.0f} MB of arrays")
    limits = measure_limits(plan.limits_megabytes)
    courses = [
        _course(which, batches, plan, limits, say)
        for which, batches in ((first, plan.batches), (large, plan.large_batches))
    ]
    bidders = []
    for campaigns, rivals in plan.bidders:
        crowd = first.model_copy(
            update={"campaigns": campaigns, "rivals": first.rivals.model_copy(update={"count": rivals})}
        )
        (pace,), _, _ = _paces(crowd, plan.bidders_batch, (1,), log_multiplier, plan)
        bidders.append(pace)
        say(f"{campaigns} campaigns, {rivals} rivals: {pace.market_steps_per_second:.0f} market-steps/s")
    view = pettingzoo_steps_per_second(first, log_multiplier, plan)
    say(f"PettingZoo view: {view:.0f} steps/s")
    return MarketSpeed(
        machine=machine(),
        limits=limits,
        operations_counted=OPERATIONS,
        courses=courses,
        bidders=bidders,
        pettingzoo_steps_per_second=view,
        memory=memory,
        targets=_targets(courses, view, memory),
    )


def _targets(courses: list[Course], view: float, memory: Memory) -> list[Target]:
    def one_thread(course: Course, field: str) -> float:
        return max(float(getattr(pace, field)) for pace in course.paces if pace.threads == 1)

    def at_least(name: str, measured: float, target: float) -> Target:
        return Target(name, measured, target, measured >= target)

    first, large = courses
    scaled = max(memory.peak_growth_bytes, memory.array_bytes) / memory.markets * 1024
    targets = [
        at_least("market-steps/s, one core", one_thread(first, "market_steps_per_second"), 30_000.0),
        at_least(f"auctions/s, {AUCTIONNET}, one core", one_thread(large, "auctions_per_second"), 4e6),
        at_least("PettingZoo steps/s", view, 2_500.0),
        Target("bytes of 1,024 markets", scaled, 2e9, scaled < 2e9),
    ]
    ratios = [ratio for course in courses for ratio in course.two_threads_over_one.values()]
    return [*targets, at_least("two threads over one", max(ratios), 1.6)] if ratios else targets


def prepared(scenario: Scenario, num_markets: int, log_multiplier: float) -> Actions:
    """The same actions for every interval: audio, the value times one multiplier, nothing to say."""
    board = quiet_board(num_markets, scenario.campaigns)
    bids = np.zeros((num_markets, scenario.campaigns, 1 + P + S))
    bids[..., 0] = log_multiplier
    creative = np.zeros((num_markets, scenario.campaigns, S, len(CREATIVE_CHOICES)), np.int64)
    return Actions(board.segment_value, creative, bids, board.alert, board.directive)


def lasting_multiplier(scenario: Scenario, num_markets: int = 8, rounds: int = 7) -> tuple[float, float]:
    """The highest log-multiplier, by bisection, that spends at most LAST_SHARE of budgets; and the share."""
    market, seeds = VectorMarket(scenario, num_markets), market_seeds("train", 1, 0, num_markets)

    def spent(log_multiplier: float) -> float:
        market.reset(seeds)
        actions = prepared(scenario, num_markets, log_multiplier)
        while not market.step(actions).terminated:
            pass
        return float((market.feed.spend_usd / market.feed.budget_usd).mean())

    low, high = -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG
    for _ in range(rounds):
        middle = (low + high) / 2.0
        low, high = (middle, high) if spent(middle) <= LAST_SHARE else (low, middle)
    return low, spent(low)


class _Flight(NamedTuple):
    seconds: Float  # [T, 2] by the wall and by the processor
    reset_seconds: float
    auctions: float
    bids: float
    impressions: float


def _fly(market: VectorMarket, actions: Actions) -> _Flight:
    """One flight of the batch; counting what it brought is not timed."""
    seeds = market_seeds("train", 0, 0, market.num_markets)
    started = time.perf_counter()
    market.reset(seeds)
    ready, seconds, counts = time.perf_counter(), [], np.zeros(3)
    for _ in range(market.scenario.intervals):
        wall, processor = time.perf_counter(), time.process_time()
        out = market.step(actions).outcome
        seconds.append((time.perf_counter() - wall, time.process_time() - processor))
        counts += out.opportunities.sum(), out.bids.sum(), out.wins.sum()
    return _Flight(np.array(seconds), ready - started, *counts.tolist())


def _paces(
    scenario: Scenario, batch: int, threads: tuple[int, ...], log_multiplier: float, plan: Plan
) -> tuple[list[Pace], float, VectorMarket]:
    """Paces of a batch by threads, seconds of its reset, and the batch."""
    crews = [VectorMarket(scenario, batch, threads=count) for count in threads]
    actions = prepared(scenario, batch, log_multiplier)
    flights: list[list[_Flight]] = [[] for _ in crews]
    for market in crews:
        _fly(market, actions)
    started = time.perf_counter()
    while len(flights[0]) < plan.repeats or time.perf_counter() - started < plan.seconds:
        for market, flown in zip(crews, flights, strict=True):
            flown.append(_fly(market, actions))
    paces = []
    for count, flown in zip(threads, flights, strict=True):
        seconds, busy = np.min([flight.seconds for flight in flown], 0).sum(0).tolist()
        steps, one = batch * scenario.intervals, flown[0]
        paces.append(
            Pace(
                campaigns=scenario.campaigns,
                rivals=scenario.rivals.count,
                batch_size=batch,
                threads=count,
                market_steps_per_second=steps / seconds,
                auctions_per_second=one.auctions / seconds,
                bids_per_second=one.bids / seconds,
                impressions_per_second=one.impressions / seconds,
                market_steps_per_processor_second=steps / busy,
            )
        )
    return paces, min(flight.reset_seconds for flight in flights[0]), crews[0]


def _course(scenario: Scenario, batches: tuple[int, ...], plan: Plan, limits: Limits, say: Say) -> Course:
    log_multiplier, spent = lasting_multiplier(scenario)
    paces: list[Pace] = []
    ratios, free = {}, [second_core()]
    for batch in batches:
        threads = tuple(count for count in plan.threads if count <= batch)
        found, reset_seconds, market = _paces(scenario, batch, threads, log_multiplier, plan)
        paces += found
        free.append(second_core())
        if len(found) == 2:
            ratios[batch] = found[1].market_steps_per_second / found[0].market_steps_per_second
        speeds = ", ".join(f"{pace.market_steps_per_second:.0f}" for pace in found)
        say(f"{scenario.name}, {batch} markets: {speeds} market-steps/s")
    last = paces[-1]
    steps = last.market_steps_per_second
    counts = (last.auctions_per_second / steps, last.impressions_per_second / steps)
    stall, opportunities = stall_of(scenario), plan.plain_opportunities
    return Course(
        scenario=scenario.name,
        opportunities_per_interval=scenario.opportunities_per_interval,
        slots=scenario.auction.slots,
        pricing=scenario.auction.pricing,
        log_multiplier=log_multiplier,
        spent_fraction=spent,
        paces=paces,
        two_threads_over_one=ratios,
        second_core=max(free),
        resets_per_second=batch / reset_seconds,
        roofline=roofline(market, *counts, limits),
        python_auctions_per_second=opportunities / best(lambda: sell_in_python(stall, opportunities), 3),
        numpy_auctions_per_second=opportunities / best(lambda: sell_in_numpy(stall, opportunities), 3),
    )


def pettingzoo_steps_per_second(scenario: Scenario, log_multiplier: float, plan: Plan) -> float:
    """Steps of the single-market dictionary view, its spaces' actions prepared beforehand."""
    from envs.ad_market_v0 import parallel_env
    from envs.spaces import encode

    view, actions = parallel_env(scenario), encode(prepared(scenario, 1, log_multiplier))
    flights: list[list[float]] = []
    started = time.perf_counter()
    while len(flights) < plan.repeats or time.perf_counter() - started < plan.seconds:
        view.reset(seed=0)
        flights.append([best(lambda: view.step(actions), 1) for _ in range(scenario.intervals)])
    return scenario.intervals / float(np.min(flights[1:], 0).sum())


def measure_memory(scenario: Scenario, markets: int) -> Memory:
    """What a batch occupies; the kernels have to be compiled by now."""
    before, peak_before = resident_bytes(), peak_bytes()
    market = VectorMarket(scenario, markets)
    market.reset(market_seeds("train", 0, 0, markets))
    step = market.step(prepared(scenario, markets, -2.0))
    growth, peak = resident_bytes() - before, peak_bytes()
    peak_growth = peak - before if peak > peak_before else growth
    return Memory(markets, array_bytes((vars(market), step)), growth, max(growth, peak_growth))


def _shortened(scenario: Scenario, intervals: int | None) -> Scenario:
    return scenario if intervals is None else scenario.model_copy(update={"intervals": intervals})
