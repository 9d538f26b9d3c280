import json
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InterludeError, UnknownNameError
from envs.output import plain
from envs.scenario import load_scenario
from evaluation import evaluate, table
from evaluation.compare import Comparison, _comparison, compare
from evaluation.intervals import Interval, over_markets
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.rollout import Course, TeamResult
from evaluation.sources import Entrant
from policies.registry import make_team

QUICK = load_scenario("quick").model_copy(update={"intervals": 12})


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(["pid", "oracle", "pid+creative=random"], Course(QUICK, "train", num_markets=8))


def test_baseline_and_siloed_take_part_in_any_case(comparison: Comparison) -> None:
    names = {standing.entrant.name for standing in comparison.standings}
    assert names == {"pid", "oracle", "pid+creative=random", "shadow-price", "siloed"}
    assert comparison.baseline == "shadow-price"


def test_the_best_stands_first_and_lifts_are_paired(comparison: Comparison) -> None:
    means = [standing.mean(OBJECTIVE) for standing in comparison.standings]
    assert means == sorted(means, reverse=True)
    objective = {s.entrant.name: s.result.metrics[OBJECTIVE] for s in comparison.standings}
    for standing in comparison.standings:
        name = standing.entrant.name
        assert name not in standing.lift
        for other, interval in standing.lift.items():
            assert interval == over_markets(objective[name], objective[other])
            assert standing.probability_of_improvement[other] == (objective[name] > objective[other]).mean()


def test_the_hero_reads_no_hidden_truth(comparison: Comparison) -> None:
    assert comparison.hero.entrant.name != "oracle"


def test_a_team_does_not_know_who_else_takes_part(comparison: Comparison) -> None:
    alone = compare(["pid"], comparison.course, baseline="pid").standing("pid")
    for tag in KPIS:
        assert np.array_equal(alone.result.metrics[tag], comparison.standing("pid").result.metrics[tag]), tag


def test_json_holds_everything_and_nothing_but_numbers(comparison: Comparison) -> None:
    found = json.loads(json.dumps(plain(comparison.as_json()), allow_nan=False))
    assert (found["markets"], found["split"], found["scenario"]) == (8, "train", "quick")
    scenario = load_scenario("quick")
    assert found["impression_weight"] == scenario.impression_weight
    assert found["time_acceleration"] == scenario.time_acceleration
    assert len(found["headlines"]) == 3
    for team in found["teams"]:
        assert team["kpis"].keys() == KPIS.keys()
        assert np.mean(team["objective_usd_per_market"]) == pytest.approx(team["objective_usd"]["estimate"])
        assert team["objective_usd"]["kind"] == "over_markets"


def test_the_text_says_what_the_figures_stand_on(comparison: Comparison) -> None:
    text = table.text(comparison)
    for words in ("8 train markets", "paired bootstrap", "training luck", "privileged", "baseline", "siloed"):
        assert words in text
    for standing in comparison.standings:
        assert standing.entrant.name in text
    assert "ad relevance" in text and "wasted spend" in text and "listener satisfaction" in text


def test_teams_that_share_a_name_are_refused() -> None:
    with pytest.raises(InterludeError, match="named twice: pid"):
        compare(["pid", make_team("pid")], Course(QUICK, num_markets=1))


def test_a_team_may_be_an_object_and_a_scenario_a_file(tmp_path: Path) -> None:
    scenario = tmp_path / "short.yaml"
    scenario.write_text("name: short\ndescription: short\ncampaigns: 2\nintervals: 4\n")
    team = make_team("random")
    team.name = "mine"
    told: list[tuple[str, int]] = []

    def watch(name: str, played: int) -> None:
        told.append((name, played))

    found = evaluate([team], str(scenario), "development", episodes=3, baseline="pid", watch=watch)
    assert found.standing("mine").entrant.kind == "model-free"
    assert set(told) == {(name, played) for name in ("pid", "siloed", "mine") for played in (0, 3)}


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown scenario 'nowhere'"):
        evaluate(["pid"], "nowhere")
    with pytest.raises(UnknownNameError, match="unknown split 'test'"):
        evaluate(["pid"], split="test")  # type: ignore[arg-type]


def made(names_and_scores: dict[str, float], learned: tuple[str, ...] = ()) -> Comparison:
    """A comparison of made-up figures on ten markets; learned teams are runs of one method."""
    market = np.random.default_rng(0).normal(0.0, 1.0, 10)
    entrants, results = [], []
    for seed, (name, score) in enumerate(names_and_scores.items()):
        team = make_team("pid")
        team.name = name
        method = "method" if name in learned else None
        roles, seeds = (("bidding",), (seed,)) if name in learned else ((), ())
        entrants.append(Entrant(name, team, "model-free", roles, seeds, method))
        metrics = {tag: score + market for tag in KPIS}
        results.append(TeamResult(name, False, False, metrics, {}, [], 0.0))
    return _comparison(entrants, results, Course(QUICK, num_markets=10), "shadow-price")


def test_headlines_say_what_the_interval_allows() -> None:
    better = made({"shadow-price": 100.0, "siloed": 100.0, "run": 120.0}, ("run",))
    assert better.hero.entrant.name == "run"
    verdicts = {headline.result: headline.verdict for headline in better.headlines}
    assert verdicts == {
        "ad relevance": "as wanted",
        "wasted spend": "the wrong way",  # 20 % more of it
        "listener satisfaction": "as wanted",
    }
    same = made({"shadow-price": 100.0, "siloed": 100.0, "run": 100.0}, ("run",))
    assert {headline.verdict for headline in same.headlines} == {"no difference shown"}


def test_a_claim_about_a_method_needs_five_runs() -> None:
    runs = {f"run-{i}": 110.0 + i for i in range(4)}
    few = made({"shadow-price": 100.0, "siloed": 90.0, **runs}, tuple(runs))
    (refusal,) = few.methods.values()
    assert isinstance(refusal, str) and "at least 5 runs" in refusal
    assert "at least 5 runs" in table.text(few)
    runs["run-4"] = 114.0
    enough = made({"shadow-price": 100.0, "siloed": 90.0, **runs}, tuple(runs))
    (interval,) = enough.methods.values()
    assert isinstance(interval, Interval)
    assert (interval.kind, interval.count) == ("over_runs", 5)
    assert interval.estimate == pytest.approx(0.12, abs=0.01)
    assert "stands on 1 training seed" in " ".join(table.text(enough).split())


def test_a_lift_over_a_loss_is_undefined() -> None:
    loss = made({"shadow-price": -5.0, "siloed": 1.0, "run": 3.0})
    assert table.percent(loss.standing("run").lift["shadow-price"]) == "undefined"
    json.dumps(plain(loss.as_json()), allow_nan=False)
