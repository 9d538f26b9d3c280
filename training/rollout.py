"""Flights as training data: a team with learned roles plays B markets to the end, every decision kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.errors import InterludeError
from envs.lift import Recording, recorded
from envs.market import Observations, Step, VectorMarket
from envs.observation import SCHEMAS
from envs.privileged import privileged_blocks
from envs.protocol import Actions
from envs.rewards import Rewards
from envs.state import Float
from evaluation.metrics import FlightLedger
from policies.desk import CampaignDesk
from policies.learned import LearnedBidding, LearnedCreative, LearnedOrchestrator, learned_policy
from policies.policy import Policy, flight_of
from policies.registry import learning_desk, make_team
from policies.team import Team
from policies.weights import Actor
from training.configuration import TrainingConfiguration
from training.reward import asks_what_if, flight_rewards
from training.teacher import Teacher

Columns = dict[str, NDArray[Any]]
Actors = Mapping[str, Actor]
Learned = LearnedCreative | LearnedBidding | LearnedOrchestrator
BID_SAMPLE = 2048


@dataclass(frozen=True)
class Rollout:
    """One flight of B markets as arrays [T, B, ...]; pickled without a copy by Ray's object store."""

    columns: Columns
    kpis: dict[str, Float]
    """[B] every KPI of the flight by tag."""
    bids_usd: Float
    """[n] a sample of the mean bids of cells, for a histogram."""

    def env_steps(self) -> int:
        """Market-intervals played; RLlib's `Algorithm.evaluate` asks."""
        return int(np.prod(self.columns["reward"].shape[:2]))

    def agent_steps(self) -> int:
        """Decisions of learned agents."""
        learned = sum(name in self.columns for name in ("arm", "action", "direction"))
        return int(np.prod(self.columns["reward"].shape[:3])) * learned


class Moment(NamedTuple):
    """One interval of a flight: what was seen, done and brought about."""

    observations: Observations
    actions: Actions
    market_truth: NDArray[np.float32]  # [B, ·] at the time of the decision
    campaign_truth: NDArray[np.float32]  # [B, C, ·]
    step: Step
    recording: Recording | None


def moments(
    market: VectorMarket,
    team: Team,
    seeds: NDArray[np.uint64],
    *,
    truth: bool = True,
    watcher: Teacher | None = None,
    record: bool = False,
) -> Iterator[Moment]:
    """Plays a flight, interval by interval.

    Args:
        market: in which it is played.
        team: who plays.
        seeds: [B] of its markets.
        truth: show the hidden truth; else its blocks are empty.
        watcher: a teacher that looks on.
        record: keep what playing the flight again needs.

    Raises:
        InterludeError: an observation, a reward or an action is not finite; agent, field, interval and
            market seed are named.
    """
    observations = market.reset(seeds)
    known = {"listening": team.reads_listeners, "order": team.reads_order}
    team.start(flight_of(market, privileged=team.privileged, **known))
    if watcher is not None:
        watcher.start()
    terminated = False
    while not terminated:
        check_finite(observations, market)
        blocks = privileged_blocks(market) if truth else _no_truth(market)
        if watcher is not None:
            watcher.watch(observations.bidding)
        actions = team.act(observations, market.impressions)
        recording = recorded(market, actions) if record else None
        step = market.step(actions)
        yield Moment(observations, actions, *blocks, step, recording)
        observations, terminated = step.observations, step.terminated


def _no_truth(market: VectorMarket) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    b, c = market.num_markets, market.num_campaigns
    return np.zeros((b, 0), np.float32), np.zeros((b, c, 0), np.float32)


def check_finite(observations: Observations, market: VectorMarket) -> None:
    """Raises `InterludeError` naming agent, field, interval and seed of a number that is not finite."""
    for role in SCHEMAS:
        rows = getattr(observations, role)
        if np.isfinite(rows.sum()):
            continue
        for b, agent, column in np.argwhere(~np.isfinite(rows)):
            field = next(
                n for n, columns in SCHEMAS[role].slices.items() if columns.start <= column < columns.stop
            )
            raise InterludeError(
                f"{role}_{agent}: observation field {field!r} is {rows[b, agent, column]} in interval "
                f"{market.interval} of market seed {int(market.seeds[b])}"
            )


def training_market(
    configuration: TrainingConfiguration, markets: int, taste_pool: Float | None = None
) -> VectorMarket:
    """Markets of the run's scenario, which keep what the base team's audience reads."""
    reads = make_team(configuration.base_team).reads_listeners
    return VectorMarket(configuration.load_scenario(), markets, taste_pool=taste_pool, impressions=reads)


def learning_team(
    configuration: TrainingConfiguration, actors: Actors, *, sample: bool, desk: CampaignDesk | None = None
) -> Team:
    """The base team with learned policies in the roles of `actors`, on one desk (or an untaught one)."""
    base = make_team(configuration.base_team, attribution=configuration.attribution)
    desk = desk or learning_desk(tells_credit=configuration.networks.credit)
    learned: dict[str, Policy] = {
        role: learned_policy(actor, desk, sample=sample) for role, actor in actors.items()
    }
    return Team(name="learning", policies={**base.policies, **learned}, model_aware=base.model_aware)


def learned_desk(team: Team) -> CampaignDesk:
    """The desk that a team's learned policies share."""
    learned = (p for p in team.policies.values() if isinstance(p, Learned))
    return next(learned).desk


def play_rollout(
    market: VectorMarket, team: Team, seeds: NDArray[np.uint64], configuration: TrainingConfiguration
) -> Rollout:
    """Plays a flight of a team from `learning_team` and keeps all that learning needs."""
    rows: dict[str, list[NDArray[Any]]] = {}
    bids: list[Float] = []
    ledger: FlightLedger | None = None
    truth = configuration.critic == "shared"
    teacher = Teacher(market) if configuration.teacher.teaches else None
    what_if = asks_what_if(configuration.ppo)
    rewards: list[Rewards] = []
    recordings: list[Recording] = []
    for moment in moments(market, team, seeds, truth=truth, watcher=teacher, record=what_if):
        ledger = ledger or FlightLedger(market)
        ledger.add(moment.step)
        outcome = moment.step.outcome
        bids.append((outcome.bid_usd / np.maximum(1.0, outcome.bids))[outcome.bids > 0])
        columns = {
            "orchestrator": moment.observations.orchestrator[:, 0],
            "market_truth": moment.market_truth,
            "campaign_truth": moment.campaign_truth,
            **_decisions(team),
            **(teacher.labels if teacher else {}),
        }
        for name, array in columns.items():
            rows.setdefault(name, []).append(array)
        rewards.append(moment.step.rewards)
        if moment.recording is not None:
            recordings.append(moment.recording)
    if ledger is None:
        raise InterludeError("the flight has no intervals")
    sample = np.concatenate(bids)
    sample = sample[:: max(1, len(sample) // BID_SAMPLE)]
    kpis = ledger.finish()  # before the market is played again for rewards
    played = {name: np.stack(arrays) for name, arrays in rows.items()}
    played["reward"] = flight_rewards(market, rewards, recordings, configuration.ppo)
    return Rollout(played, kpis, sample)


def _decisions(team: Team) -> Columns:
    """What the learned policies of a team saw and chose in the interval just played."""
    columns: Columns = {}
    for policy in team.policies.values():
        if not isinstance(policy, Learned) or policy.decision is None:
            continue
        plain, grouped, choice, log_probability = (tensor.numpy() for tensor in policy.decision)
        columns |= {"plain": plain, "grouped": grouped}
        if isinstance(policy, LearnedCreative):
            columns |= {
                "arm": choice,
                "arm_log_probability": log_probability,
                "arm_log_score": policy.arm_log_score,
                "arm_mask": policy.arm_mask,
            }
        elif isinstance(policy, LearnedOrchestrator):
            columns |= {"direction": choice, "direction_log_probability": log_probability}
        else:
            columns |= {
                "action": choice,
                "action_log_probability": log_probability,
                "base_log_multiplier": policy.base_log_multiplier,
            }
    return columns


def joined(rollouts: list[Rollout]) -> Columns:
    """The arrays of several rollouts side by side: [T, sum of B, ...]."""
    if len(rollouts) == 1:
        return rollouts[0].columns
    return {name: np.concatenate([r.columns[name] for r in rollouts], 1) for name in rollouts[0].columns}


@lru_cache(maxsize=1)
def taste_pool(listening_history: Path | None) -> Float | None:
    """Tastes [listeners, D] of a folder's listening history; None keeps the synthetic population."""
    if listening_history is None:
        return None
    from envs.catalogue import D
    from policies.audience.als import factorise
    from policies.audience.factors import tastes
    from policies.audience.history import read_listening_history

    return tastes(factorise(read_listening_history(listening_history), D), D).astype(np.float64)
