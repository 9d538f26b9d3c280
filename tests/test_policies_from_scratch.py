"""`from-scratch` end to end: trained, exported, served; every part as it is."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from support.runs import SCENARIO, a_scenario

from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies.audience.engagement import EngagementAudience
from policies.bundle import open_bundle
from policies.critic_orchestrator import CriticOrchestrator
from policies.export import export
from policies.policy import flight_of
from serving.rehearsal import rehearse
from serving.roles import History, Seen, local_cast


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two iterations."""
    pytest.importorskip("ray")
    from training.configuration import load_training
    from training.run_directory import RunDirectory
    from training.session import Session

    folder = tmp_path_factory.mktemp("from-scratch")
    scenario = a_scenario(folder, SCENARIO)
    overrides = (f"scenario={scenario}", "iterations=2", "development.every=0")
    alone = ("sampling.markets=4", "sampling.num_env_runners=0", "sampling.overlap=false")
    opened = RunDirectory.create(folder / "run", load_training("from-scratch", overrides + alone))
    try:
        Session(opened).train()
    finally:
        opened.close()
    return folder / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    export(run, run.parent / "bundle")
    return run.parent / "bundle"


def test_its_bundle_earns_what_the_run_does(run: Path, bundle: Path) -> None:
    course = Course(load_scenario(str(run.parent / "scenario.yaml")), "held_out", num_markets=3)
    results = [play(TeamSource(str(path))(), course) for path in (run, bundle)]
    assert all(result.incapacities == [] for result in results)
    found = [result.metrics["market/objective_usd"] for result in results]
    np.testing.assert_allclose(*found, rtol=1e-4)
    assert not open_bundle(bundle).manifest.model_aware
    for path in (run, bundle):
        entrant = TeamSource(str(path)).resolve()
        assert entrant.knowledge == "model-free"
        assert isinstance(entrant.team.policies["orchestrator"], CriticOrchestrator)
        assert isinstance(entrant.team.policies["audience"], EngagementAudience)


def test_its_bundle_is_rehearsed_and_answers_when_served_as_its_team_does(run: Path, bundle: Path) -> None:
    opened = open_bundle(bundle)
    rehearse(opened)
    market = VectorMarket(opened.scenario, 1, impressions=True)
    observations = market.reset(market_seeds("held_out", 0, 0, 1))
    history = History("flight", flight_of(market, listening=True))
    alone = opened.team()
    alone.start(history.flight)

    async def answer(asked: History) -> tuple[object, ...]:
        actions, failures = await cast.act(asked)
        assert not failures
        return actions.creative, actions.bidding

    cast = local_cast(opened.team, 30.0)
    for _ in range(opened.scenario.intervals):
        history.deliveries.append(Seen(observations, market.impressions))
        actions = alone.act(observations, market.impressions)
        served = asyncio.run(answer(history))
        np.testing.assert_array_equal(served[0], actions.creative)
        np.testing.assert_allclose(served[1], actions.bidding, atol=1e-6)  # type: ignore[call-overload]
        observations = market.step(actions).observations
    cast = local_cast(opened.team, 30.0)  # one that comes late catches up
    late = asyncio.run(answer(history))
    np.testing.assert_array_equal(late[0], actions.creative)
    np.testing.assert_allclose(late[1], actions.bidding, atol=1e-6)  # type: ignore[call-overload]
