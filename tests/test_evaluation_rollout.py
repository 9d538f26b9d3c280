from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.runs import a_run, a_scenario, exported

from envs.errors import ConfigurationError
from envs.observation import Observation
from envs.scenario import load_scenario
from evaluation.metrics import KPIS
from evaluation.rollout import Course, TeamResult, listening_tastes, play, play_with_workers, worker_pool
from evaluation.sources import TeamSource
from policies.networks import NetworkSettings
from policies.policy import Flight
from policies.registry import make_team, team_names
from policies.team import Team

QUICK = load_scenario("quick").model_copy(update={"intervals": 12})
COURSE = Course(QUICK, "train", seed=3, num_markets=7)


def same(one: TeamResult, other: TeamResult) -> bool:
    """Number for number."""
    return all(
        np.array_equal(getattr(one, kind)[tag], getattr(other, kind)[tag], equal_nan=True)
        for tag in KPIS
        for kind in ("metrics", "series")
    )


@pytest.mark.parametrize("name", team_names())
def test_no_figure_depends_on_the_batch_size(name: str) -> None:
    whole = play(make_team(name), COURSE)
    assert list(whole.metrics) == list(KPIS)
    assert whole.metrics["market/objective_usd"].shape == (7,)
    assert whole.series["market/objective_usd"].shape == (12,)
    for size in (1, 3):
        assert same(whole, play(make_team(name), Course(QUICK, "train", 3, 7, batch_size=size))), size


@pytest.mark.parametrize("kind", ["certainty-equivalent", "run", "run, sampled", "bundle"])
def test_batches_of_1_64_and_512_are_alike_bit_for_bit(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    scenario = a_scenario(folder)
    argument = kind
    if kind.startswith("run"):
        argument = str(a_run(folder / "run", scenario, settings=NetworkSettings()))
    elif kind == "bundle":
        argument = str(exported(tmp_path_factory.getbasetemp())[1])
    source = TeamSource(argument, sample=kind.endswith("sampled"))
    results = {
        size: play(source(), Course(load_scenario(str(scenario)), "held_out", 0, markets, batch_size=size))
        for size, markets in ((512, 513), (64, 129), (1, 24))
    }
    for tag in KPIS:
        whole = results[512].metrics[tag]
        for size in (64, 1):
            part = results[size].metrics[tag]
            assert np.array_equal(part, whole[: len(part)], equal_nan=True), (tag, size)


def test_a_longer_course_begins_with_the_shorter_ones_markets() -> None:
    team = make_team("pid")
    short, long = play(team, COURSE), play(team, Course(QUICK, "train", 3, 9, batch_size=4))
    for tag in KPIS:
        assert np.array_equal(short.metrics[tag], long.metrics[tag][:7], equal_nan=True), tag
    other = play(team, Course(QUICK, "train", 4, 7))
    assert not np.array_equal(short.metrics["spend/spend_usd"], other.metrics["spend/spend_usd"])


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Executor]:
    with worker_pool(2) as pool:
        assert pool is not None
        yield pool


@pytest.mark.parametrize("kind", ["value-aware", "run"])
def test_no_figure_depends_on_the_workers(
    kind: str, two_workers: Executor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    argument = str(exported(tmp_path_factory.getbasetemp())[0]) if kind == "run" else kind
    source, course = TeamSource(argument), Course(QUICK, "train", 3, 7, batch_size=3)
    told: list[int] = []
    shared = play_with_workers(two_workers, source, course, told.append)
    assert told == [3, 3, 1]
    assert same(shared, play(source(), course))


def test_one_worker_is_this_process() -> None:
    with worker_pool(1) as pool:
        assert pool is None


class Failing:
    """A bidding policy that breaks in its third interval."""

    name, privileged = "failing", False

    def start(self, flight: Flight) -> None:
        self._flight, self._interval = flight, -1

    def act(self, observation: Observation) -> Any:
        self._interval += 1
        if self._interval == 3:
            raise ZeroDivisionError("no more ideas")
        return np.zeros((self._flight.num_markets, self._flight.num_campaigns, 8))


def test_a_role_that_breaks_is_replaced_and_reported() -> None:
    stand_ins = dict(make_team("pid").policies)
    team = Team("broken", {**make_team("pid").policies, "bidding": Failing()}, stand_ins)
    result = play(team, COURSE)
    (incapacity,) = result.incapacities
    assert (incapacity.role, incapacity.interval) == ("bidding", 3)
    assert "no more ideas" in incapacity.reason
    assert np.isfinite(result.metrics["market/objective_usd"]).all()


class Nosy(Failing):
    """Notes whether it was shown the hidden truth."""

    def act(self, observation: Observation) -> Any:
        self.seen = self._flight.market is not None
        return np.zeros((self._flight.num_markets, self._flight.num_campaigns, 8))


@pytest.mark.parametrize("privileged", [False, True])
def test_only_privileged_teams_see_the_market(privileged: bool) -> None:
    nosy = Nosy()
    nosy.privileged = privileged
    result = play(Team("nosy", {**make_team("pid").policies, "bidding": nosy}), Course(QUICK, num_markets=1))
    assert nosy.seen is privileged is result.privileged


@pytest.mark.parametrize("field", ["num_markets", "batch_size"])
def test_a_course_needs_markets(field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{field} must be at least 1, got 0"):
        Course(QUICK, **{field: 0})


def test_real_listeners_change_the_market(data_dir: Path) -> None:
    pool = listening_tastes(data_dir / "lastfm-hetrec2011")
    assert pool.shape[1] == 8
    real = play(make_team("pid"), Course(QUICK, "train", 3, 2, taste_pool=pool))
    synthetic = play(make_team("pid"), Course(QUICK, "train", 3, 2))
    assert not same(real, synthetic)
