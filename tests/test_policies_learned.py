from pathlib import Path

import numpy as np
import pytest
import torch
from support.flights import flight
from support.runs import RECURRENT, SETTINGS, TALLYING, a_run, a_scenario
from torch import Tensor

from envs.scenario import Scenario, load_scenario
from policies import load_team
from policies.export import export
from policies.learned import BLOCK, by_block, load_run_policies
from policies.registry import make_team
from policies.team import Team


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of recurrent actors wide enough to be the same bit for bit in any batch."""
    folder = tmp_path_factory.mktemp("recurrent")
    settings = RECURRENT.model_copy(update={"creative_hidden": 16, "bidding_hidden": 16, "memory": 16})
    return a_run(folder / "run", a_scenario(folder), settings=settings)


def a_team(run: Path, *, sample: bool = False) -> Team:
    base = make_team("certainty-equivalent")
    return Team("run", {**base.policies, **load_run_policies(run, sample=sample, sample_seed=3)})


def its_scenario(run: Path) -> Scenario:
    return load_scenario(str(run.parent / "scenario.yaml"))


@pytest.mark.parametrize("sample", [False, True])
def test_a_recurrent_team_plays_the_same_alone_and_in_a_batch(recurrent: Path, sample: bool) -> None:
    scenario = its_scenario(recurrent)
    many = flight(a_team(recurrent, sample=sample), scenario, count=40)  # 80 rows: more than a block
    alone = flight(a_team(recurrent, sample=sample), scenario, count=1, first=37)
    for whole, part in zip(many, alone, strict=True):
        np.testing.assert_array_equal(whole.actions.creative[37:38], part.actions.creative)
        np.testing.assert_allclose(whole.actions.bidding[37:38], part.actions.bidding, rtol=0, atol=1e-6)
        claims = whole.actions.premium_value_usd
        assert claims is not None and part.actions.premium_value_usd is not None
        np.testing.assert_allclose(claims[37:38], part.actions.premium_value_usd, rtol=1e-6)


@pytest.fixture(scope="module")
def tallying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of actors that stand on a tally."""
    folder = tmp_path_factory.mktemp("tallying")
    return a_run(folder / "run", a_scenario(folder), settings=TALLYING)


def test_a_tallying_team_plays_the_same_alone_and_in_a_batch(tallying: Path) -> None:
    scenario = its_scenario(tallying)
    many = flight(a_team(tallying, sample=True), scenario, count=40)
    alone = flight(a_team(tallying, sample=True), scenario, count=1, first=37)
    for whole, part in zip(many, alone, strict=True):
        np.testing.assert_array_equal(whole.actions.creative[37:38], part.actions.creative)
        np.testing.assert_allclose(whole.actions.bidding[37:38], part.actions.bidding, rtol=0, atol=1e-5)


def test_what_was_tallied_matters_and_is_forgotten_between_flights(tallying: Path) -> None:
    team, fresh, forgetful = (a_team(tallying) for _ in range(3))
    scenario = its_scenario(tallying)
    for _ in flight(team, scenario, count=2, seed=5):
        pass
    apart = []
    flights = (flight(each, scenario) for each in (team, fresh, forgetful))
    for used, new, forgot in zip(*flights, strict=True):
        np.testing.assert_array_equal(used.actions.bidding, new.actions.bidding)
        forgetful.policies["bidding"].tally.start()  # type: ignore[attr-defined]
        apart.append(np.abs(used.actions.bidding - forgot.actions.bidding).max())
    assert apart[0] == 0.0
    assert max(apart) > 1e-3


def test_a_creative_that_reads_no_desk_claims_no_video(tmp_path: Path) -> None:
    """Nor does its bundle, though the bids of both stand on the desk."""
    settings = SETTINGS.model_copy(update={"belief": False, "creative_residual": False})
    run = a_run(tmp_path / "run", a_scenario(tmp_path), settings=settings)
    export(run, tmp_path / "bundle")
    for team in (a_team(run), load_team(tmp_path / "bundle")):
        assert all(moment.actions.premium_value_usd is None for moment in flight(team, its_scenario(run), 2))


def test_memory_is_empty_at_every_flight_start(recurrent: Path) -> None:
    team, fresh, scenario = a_team(recurrent), a_team(recurrent), its_scenario(recurrent)
    for _ in flight(team, scenario, count=2, seed=5):
        pass
    for used, new in zip(flight(team, scenario), flight(fresh, scenario), strict=True):
        np.testing.assert_array_equal(used.actions.creative, new.actions.creative)
        np.testing.assert_array_equal(used.actions.bidding, new.actions.bidding)


def test_what_is_remembered_matters(recurrent: Path) -> None:
    team, forgetful, scenario = a_team(recurrent), a_team(recurrent), its_scenario(recurrent)
    bidding = forgetful.policies["bidding"]
    apart = []
    for moment, forgot in zip(flight(team, scenario), flight(forgetful, scenario), strict=True):
        bidding._memory = None  # type: ignore[attr-defined]
        apart.append(np.abs(moment.actions.bidding - forgot.actions.bidding).max())
    assert apart[0] == 0.0
    assert apart[1] > 1e-3


@pytest.mark.parametrize("markets", [1, 2, BLOCK, BLOCK + 1])
def test_a_network_sees_blocks_of_one_shape_and_its_answers_keep_their_place(markets: int) -> None:
    seen = []

    def network(plain: Tensor, grouped: Tensor) -> Tensor:
        seen.append((plain.shape, grouped.shape))
        return plain[:, None] + grouped

    plain, grouped = torch.rand(markets, 3, 5), torch.rand(markets, 3, 4, 5)
    answer = by_block(network, plain, grouped)
    assert torch.equal(answer, plain[:, :, None] + grouped)
    assert set(seen) == {((BLOCK, 5), (BLOCK, 4, 5))}
    assert len(seen) == -(-3 * markets // BLOCK)
