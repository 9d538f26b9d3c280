from pathlib import Path

import numpy as np
import pytest
from support.flights import flight
from support.runs import RECURRENT, TALLYING, exported

from envs.scenario import Scenario
from policies import load_team
from policies.bundle import Bundle, open_bundle
from policies.exported import BundleError, ExportedPolicy
from policies.learned import load_run_policies
from policies.registry import make_team
from policies.team import Team
from policies.tensors import MODELS, model_spec


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.getbasetemp(), RECURRENT)[0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(exported(tmp_path_factory.getbasetemp(), RECURRENT)[1])


@pytest.fixture(scope="module")
def scenario(bundle: Bundle) -> Scenario:
    return bundle.scenario


def test_a_recurrent_bundle_plays_whole_flights_as_the_run_does(
    run: Path, bundle: Bundle, scenario: Scenario
) -> None:
    base = make_team("certainty-equivalent")
    mine, theirs = Team("run", {**base.policies, **load_run_policies(run)}), load_team(bundle.path)
    for seed in (3, 4):  # the second flight on the same teams
        flights = (flight(team, scenario, count=5, seed=seed, split="held_out") for team in (mine, theirs))
        for one, other in zip(*flights, strict=True):
            np.testing.assert_array_equal(one.actions.creative, other.actions.creative)
            np.testing.assert_allclose(one.actions.bidding, other.actions.bidding, atol=1e-5)
            claims = one.actions.premium_value_usd
            assert claims is not None and other.actions.premium_value_usd is not None
            np.testing.assert_allclose(claims, other.actions.premium_value_usd, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.market.feed.spend_usd, other.market.feed.spend_usd, rtol=1e-5)
    assert not any(team.incapacities for team in (mine, theirs))


def test_a_bundle_with_a_tally_plays_whole_flights_as_the_run_does(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run, folder = exported(tmp_path_factory.getbasetemp(), TALLYING)
    opened = open_bundle(folder, whole_flights=True)
    assert (opened.manifest.format, opened.manifest.tally, opened.manifest.model_aware) == (4, True, False)
    assert "stand on a tally" in (folder / "MODEL_CARD.md").read_text()
    base = make_team("certainty-equivalent")
    mine, theirs = Team("run", {**base.policies, **load_run_policies(run)}), load_team(folder)
    for seed in (3, 4):  # the second flight on the same teams
        flights = (
            flight(team, opened.scenario, count=5, seed=seed, split="held_out") for team in (mine, theirs)
        )
        for one, other in zip(*flights, strict=True):
            np.testing.assert_array_equal(one.actions.creative, other.actions.creative)
            np.testing.assert_allclose(one.actions.bidding, other.actions.bidding, atol=1e-5)
            assert one.actions.premium_value_usd is other.actions.premium_value_usd is None
    assert not any(team.incapacities for team in (mine, theirs))
    for role in ("creative", "bidding"):
        policy = theirs.policies[role]
        assert isinstance(policy, ExportedPolicy)
        assert policy.tally is not None
        assert policy.tally._wins.sum() > 0.0


def test_memory_is_forgotten_at_a_new_flight(bundle: Bundle, scenario: Scenario) -> None:
    used, fresh = bundle.team(), bundle.team()
    for _ in flight(used, scenario, count=2, seed=5):
        pass
    policy = used.policies["creative"]
    assert isinstance(policy, ExportedPolicy)
    assert np.abs(policy._memory["creative_memory"]).max() > 0.1
    for one, other in zip(flight(used, scenario), flight(fresh, scenario), strict=True):
        np.testing.assert_array_equal(one.actions.creative, other.actions.creative)
        np.testing.assert_array_equal(one.actions.bidding, other.actions.bidding)


def test_what_is_remembered_matters(bundle: Bundle, scenario: Scenario) -> None:
    team, forgetful = bundle.team(), bundle.team()
    policy = forgetful.policies["bidding"]
    assert isinstance(policy, ExportedPolicy)
    apart = []
    for moment, forgot in zip(flight(team, scenario), flight(forgetful, scenario), strict=True):
        policy._memory = {name: np.zeros_like(array) for name, array in policy._memory.items()}
        apart.append(np.abs(moment.actions.bidding - forgot.actions.bidding).max())
    assert apart[0] == 0.0
    assert apart[1] > 1e-3


def test_a_market_alone_is_answered_as_in_a_batch(bundle: Bundle, scenario: Scenario) -> None:
    many, alone = flight(bundle.team(), scenario, count=4), flight(bundle.team(), scenario, count=1, first=2)
    for whole, part in zip(many, alone, strict=True):
        np.testing.assert_array_equal(whole.actions.creative[2:3], part.actions.creative)
        np.testing.assert_allclose(whole.actions.bidding[2:3], part.actions.bidding, atol=1e-6)


@pytest.mark.parametrize("name", ("creative", "bidding", "critic"))
def test_a_network_of_other_tensors_is_refused(bundle: Bundle, name: str) -> None:
    model = bundle.models[name]
    model.check(model_spec(name, 5))
    if name == "critic":
        model.check(model_spec(name, 0))
        return
    for memory in (0, 6):
        with pytest.raises(
            BundleError, match=rf"{name}/model\.onnx takes .*{name}_memory \[N.* × 5\]; by the"
        ):
            model.check(model_spec(name, memory))
    with pytest.raises(BundleError, match="takes observation"):
        model.check(MODELS["critic"])
