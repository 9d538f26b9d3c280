"""Adaptation curves: the objective by intervals seen, apart for campaigns of seen and of unseen verticals.

Every learner plays the same markets, and a campaign is of an unseen vertical where the scenario shows its
vertical in held-out markets alone. Differences are paired by market, intervals over markets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from envs.catalogue import VERTICALS
from envs.errors import ConfigurationError
from envs.state import Float
from evaluation.intervals import Interval, MarketBootstrap
from evaluation.rollout import Course, opened
from policies.team import Team

KINDS: Final = ("seen", "unseen")
STRETCHES: Final = 8
"""Parts of a flight over which intervals are taken; a single interval is too noisy for that."""


class Earned(NamedTuple):
    """What a team earned on a course, by kind of campaign."""

    objective_usd: Float  # [2, T, n] J of an interval, summed over a market's campaigns of the kind
    campaigns: Float  # [2, n] how many a market has


def earned(team: Team, course: Course) -> Earned:
    """Plays a team through a course; the sum over kinds and intervals is the objective of every market."""
    new = [VERTICALS.index(name) for name in course.scenario.held_out.verticals]
    new = [index for index in new if VERTICALS[index] not in course.scenario.verticals]
    played, campaigns = [], []
    for start, count in course.batches():
        market, observations = opened(team, course, start, count)
        unseen = np.isin(market.parameters.vertical, new)  # [B, C]
        kinds = np.stack([~unseen, unseen]).astype(np.float64)
        flight = []
        for _ in range(course.scenario.intervals):
            step = market.step(team.act(observations, market.impressions))
            observations = step.observations
            flight.append((kinds * step.rewards.campaign).sum(2))
        played.append(np.stack(flight, 1))
        campaigns.append(kinds.sum(2))
    return Earned(np.concatenate(played, 2), np.concatenate(campaigns, 1))


@dataclass(frozen=True)
class Learner:
    """One line of the picture."""

    name: str
    description: str
    contestant: bool = True
    """False for one that has seen what it is tested on, or the truth: it is there to be measured against."""


@dataclass(frozen=True)
class Stretch:
    """A part of a flight, one learner's campaigns of one kind."""

    end: int
    """Intervals that were played by its end."""
    objective_usd: float
    """J of an interval and campaign within it."""
    lift: Interval
    """Of J within it over no adaptation's."""
    lift_so_far: Interval
    """The same from the flight's start to its end."""
    share_of_oracle: Interval
    """J within it / the oracle's."""


class Kept(NamedTuple):
    """Of what a learner gains where it was trained on unseen verticals too, the share it gains without."""

    learner: str
    trained_on_all: str
    over: str
    share: Interval


@dataclass(frozen=True, eq=False)
class Adaptation:
    """Learners on the same markets."""

    course: Course
    learners: Sequence[Learner]
    objective_usd: Float
    """[learners, 2, T, n], the mean over training runs where a learner has several."""
    campaigns: Float
    """[2, n]."""
    nothing: str
    """The learner that adapts nothing."""
    base: str
    """The learner over which whole flights are shown."""
    oracle: str
    twins: Sequence[tuple[str, str]] = ()
    """Pairs of a learner and the same trained on all verticals."""

    def __post_init__(self) -> None:
        """Checks that both kinds are there."""
        for kind, counts in zip(KINDS, self.campaigns, strict=True):
            if not counts.any():
                raise ConfigurationError(
                    f"the {self.course.split} markets hold no campaign of {kind} verticals: play more "
                    "markets, or held-out ones of a scenario whose held_out.verticals go beyond its own"
                )

    def index(self, name: str) -> int:
        """Where a learner stands."""
        return [learner.name for learner in self.learners].index(name)

    @cached_property
    def _whole(self) -> list[MarketBootstrap]:
        return [MarketBootstrap(self.objective_usd[:, kind].sum(1)) for kind in range(len(KINDS))]

    def per_campaign_usd(self, name: str, kind: int) -> Float:
        """[T] J of an interval and campaign."""
        total: Float = self.objective_usd[self.index(name), kind].sum(1) / self.campaigns[kind].sum()
        return total

    def lift(self, name: str, kind: int, over: str) -> Interval:
        """Of the whole flight's J."""
        return self._whole[kind].lift(self.index(name), self.index(over))

    def share_of_oracle(self, name: str, kind: int) -> Interval:
        """The whole flight's J / the oracle's."""
        return self._whole[kind].ratio(self.index(name), self.index(self.oracle))

    def kept(self) -> list[Kept]:
        """Of every pair, on campaigns of unseen verticals."""
        bootstrap = self._whole[KINDS.index("unseen")]
        return [
            Kept(one, all_, over, bootstrap.share_of_gain(*map(self.index, (one, all_, over))))
            for one, all_ in self.twins
            for over in (self.nothing, self.base)
        ]

    @cached_property
    def stretches(self) -> Mapping[str, Mapping[str, Sequence[Stretch]]]:
        """By kind and learner."""
        found: dict[str, dict[str, list[Stretch]]] = {}
        nothing, oracle = self.index(self.nothing), self.index(self.oracle)
        for kind, name in enumerate(KINDS):
            by_learner = found.setdefault(name, {learner.name: [] for learner in self.learners})
            for part in np.array_split(np.arange(self.course.scenario.intervals), STRETCHES):
                if not len(part):
                    continue
                end = int(part[-1]) + 1
                played = self.objective_usd[:, kind]
                within = MarketBootstrap(played[:, part].sum(1))
                so_far = MarketBootstrap(played[:, :end].sum(1))
                for a, learner in enumerate(self.learners):
                    each = float(played[a, part].sum() / self.campaigns[kind].sum() / len(part))
                    lifts = within.lift(a, nothing), so_far.lift(a, nothing), within.ratio(a, oracle)
                    by_learner[learner.name].append(Stretch(end, each, *lifts))
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything as one object, units in the key names."""
        course = self.course
        return {
            "scenario": course.scenario.name,
            "split": course.split,
            "seed": course.seed,
            "markets": course.num_markets,
            "campaigns": dict(zip(KINDS, self.campaigns.sum(1), strict=True)),
            "no_adaptation": self.nothing,
            "baseline": self.base,
            "oracle": self.oracle,
            "learners": [
                {
                    **vars(learner),
                    "kinds": {kind: self._json(learner.name, k) for k, kind in enumerate(KINDS)},
                }
                for learner in self.learners
            ],
            "share_of_the_gain_kept": [kept._asdict() for kept in self.kept()],
        }

    def _json(self, name: str, kind: int) -> dict[str, Any]:
        by_interval = self.per_campaign_usd(name, kind)
        return {
            "objective_usd_per_campaign_and_interval": by_interval,
            "cumulative_objective_usd_per_campaign": np.cumsum(by_interval),
            "lift_over_no_adaptation_fraction": self.lift(name, kind, self.nothing),
            "lift_over_baseline_fraction": self.lift(name, kind, self.base),
            "share_of_oracle_fraction": self.share_of_oracle(name, kind),
            "stretches": self.stretches[KINDS[kind]][name],
        }


def joined(runs: Iterable[Earned]) -> Earned:
    """Several training runs of one learner as one: a market's figures are their mean."""
    found = list(runs)
    return Earned(np.mean([run.objective_usd for run in found], 0), found[0].campaigns)
