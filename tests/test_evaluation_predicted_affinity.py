from pathlib import Path

import numpy as np
import pytest
from support.markets import tiny

from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation import affinity
from evaluation.affinity import Affinity
from evaluation.rollout import Course
from policies.policy import flight_of
from policies.registry import make_team


def pairs(predicted: list[float], true: list[float], plays: list[int]) -> Affinity:
    return Affinity(np.array(predicted), np.array(true), np.array(plays), np.zeros(len(plays), np.int64))


def test_ranges_of_plays_meet_and_do_not_overlap() -> None:
    edges = [low for low, _ in affinity.PLAYS]
    ends = [high for _, high in affinity.PLAYS]
    assert edges[0] == 0 and ends[-1] is None
    assert [high + 1 for high in ends[:-1] if high is not None] == edges[1:]
    assert [affinity.plays_label(*r) for r in ((0, 0), (1, 4), (500, None))] == ["0", "1 to 4", "from 500"]


def test_rows_are_chosen_by_plays() -> None:
    found = pairs([1, 2, 3, 4], [1, 2, 3, 4], [0, 4, 5, 900])
    assert affinity.with_plays(found, 1, 5).true.tolist() == [2, 3]
    assert affinity.with_plays(found, 500, None).true.tolist() == [4]


def test_rank_correlation_is_of_order_alone() -> None:
    assert affinity.rank_correlation(pairs([1, 2, 9], [1, 20, 30], [0, 0, 0])) == pytest.approx(1.0)
    assert affinity.rank_correlation(pairs([3, 2, 1], [1, 20, 30], [0, 0, 0])) == pytest.approx(-1.0)
    assert np.isnan(affinity.rank_correlation(pairs([1, 1, 1], [1, 2, 3], [0, 0, 0])))


def test_what_is_predicted_rightly_on_average_has_no_error() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0.5, 2.0, 40_000)
    true = predicted * rng.uniform(0.5, 1.5, predicted.shape)
    assert affinity.reliability_of(predicted, true).error < 0.01
    found = affinity.reliability_of(predicted, 1.2 * predicted)
    assert found.error == pytest.approx(0.2 * predicted.mean(), rel=1e-6)
    assert found.filled.sum() == len(predicted) and (np.diff(found.predicted) > 0).all()


def test_an_audience_without_a_table_says_its_segments_values() -> None:
    market, team = VectorMarket(tiny(), 2), make_team("siloed")
    observations = market.reset(market_seeds("train", 0, 0, 2))
    team.start(flight_of(market))
    actions = team.act(observations)
    posted = affinity.posted_affinity(actions, market)
    segment = market.parameters.listener_segment
    assert posted.shape == market.parameters.affinity.shape
    for b, i in ((0, 0), (1, -1)):
        np.testing.assert_array_equal(
            posted[b, :, i], actions.audience.affinity[b, : market.num_campaigns, segment[b, i]]
        )


def test_the_oracle_is_right_about_everybody_and_learning_is_better_than_averages() -> None:
    scenario = load_scenario("quick")
    course = Course(scenario, num_markets=3)
    oracle = affinity.affinities(affinity.team_with("oracle"), course)
    assert affinity.rank_correlation(oracle) == pytest.approx(1.0)
    assert affinity.reliability_of(oracle.predicted, oracle.true).error < 1e-9
    assert len(oracle.true) == 3 * scenario.campaigns * scenario.listeners.count
    assert sorted(set(oracle.market.tolist())) == [0, 1, 2]
    found = [affinity.affinities(affinity.team_with(name), course) for name in affinity.AUDIENCES]
    told = affinity.affinities(affinity.team_with(affinity.TOLD), course)
    averages, collaborative, sequence = map(affinity.rank_correlation, found)
    assert affinity.rank_correlation(told) > min(collaborative, sequence) > averages


def test_what_groups_explain_of_what_they_are_made_of_is_all_and_of_noise_little() -> None:
    group = np.repeat(np.arange(4), 100)
    log = np.stack([group.astype(float), np.random.default_rng(0).normal(size=400)])
    assert affinity.explained(log[:1], group) == pytest.approx(1.0)
    assert affinity.explained(log[1:], group) < 0.05


@pytest.mark.parametrize("arguments", [["no/such/folder"]])
def test_a_folder_that_is_none_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert affinity.main(arguments) != 0
    assert "no/such/folder is not a folder" in capsys.readouterr().err


def test_the_document_tells_all(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--scenario", "quick", "--markets", "2", "--ladder-markets", "3"]
    assert affinity.main(arguments) == 0
    text = (tmp_path / affinity.DOCUMENT).read_text()
    assert text.startswith(affinity.NOTE)
    for name in affinity.AUDIENCES:
        assert f"`{name}`" in text
    assert "true taste told" in text and "16 clusters" in text and "votes" in text
    assert "from 500" in text and "of the oracle's gain" in text and "3 markets, paired" in text
