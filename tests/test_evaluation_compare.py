import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InterludeError, UnknownNameError
from envs.output import plain
from envs.scenario import load_scenario
from evaluation import evaluate, table
from evaluation.aggregates import probability_of_improvement
from evaluation.compare import Comparison, _absolute, _comparison, compare
from evaluation.comparison_json import FIELDS, INTERVAL, PROFILE
from evaluation.intervals import Interval, Profile, over_markets
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.rollout import Course, TeamResult, play
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
            versus = standing.versus[other]
            assert versus.difference == over_markets(objective[name], objective[other], relative=False)
            won = probability_of_improvement(objective[name], objective[other])
            assert (
                standing.probability_of_improvement[other]
                == won
                == versus.probability_of_improvement.estimate
            )


def test_the_oracle_is_what_gaps_are_measured_from(comparison: Comparison) -> None:
    assert comparison.reference == "oracle"
    assert comparison.standing("oracle").optimality_gap.estimate == 0.0
    objective = {s.entrant.name: s.result.metrics[OBJECTIVE] for s in comparison.standings}
    gap = np.maximum(0.0, 1.0 - objective["pid"] / objective["oracle"]).mean()
    assert comparison.standing("pid").optimality_gap.estimate == pytest.approx(gap)
    assert made({"shadow-price": 100.0, "siloed": 90.0}).reference == "shadow-price"


def test_the_hero_reads_no_hidden_truth(comparison: Comparison) -> None:
    assert comparison.hero.entrant.name != "oracle"


def test_a_team_does_not_know_who_else_takes_part(comparison: Comparison) -> None:
    alone = compare(["pid"], comparison.course, baseline="pid").standing("pid")
    for tag in KPIS:
        together = comparison.standing("pid").result.metrics[tag]
        assert np.array_equal(alone.result.metrics[tag], together, equal_nan=True), tag


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


def made(
    names_and_scores: dict[str, float],
    learned: tuple[str, ...] = (),
    *,
    seeds: Sequence[int] = range(99),
    groups: dict[str, list[str]] | None = None,
    absolute: bool = False,
) -> Comparison:
    """A comparison of made-up figures on ten markets; learned teams are runs of one method."""
    market = np.random.default_rng(0).normal(0.0, 1.0, 10)
    entrants, results = [], []
    seed = iter(seeds)
    for name, score in names_and_scores.items():
        team = make_team("pid")
        team.name = name
        method = "method" if name in learned else None
        roles, own = (("bidding",), (next(seed),)) if name in learned else ((), ())
        entrants.append(Entrant(name, team, "model-free", roles, own, method))
        metrics = {tag: score + market for tag in KPIS}
        results.append(TeamResult(name, False, False, metrics, {}, [], 0.0))
    course = Course(QUICK, num_markets=10)
    found = _comparison(entrants, results, course, "shadow-price", groups)
    return replace(found, absolute=_absolute(results, course, found)) if absolute else found


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
    (method,) = few.methods.values()
    assert method.figures is None and method.refusal is not None and "at least 5 runs" in method.refusal
    assert "at least 5 runs" in table.text(few)
    runs["run-4"] = 114.0
    enough = made({"shadow-price": 100.0, "siloed": 90.0, **runs}, tuple(runs))
    (method,) = enough.methods.values()
    assert method.figures is not None
    assert (method.figures.lift.kind, method.figures.lift.count) == ("over_runs", 5)
    assert method.figures.lift.estimate == pytest.approx(0.12, abs=0.01)
    text = " ".join(table.text(enough).split())
    assert "stands on 1 training seed" in text and "5 runs; stratified bootstrap" in text


def test_a_run_that_is_there_twice_counts_once() -> None:
    runs = {f"run-{i}": 110.0 for i in range(5)}
    twice = made({"shadow-price": 100.0, "siloed": 90.0, **runs}, tuple(runs), seeds=(1, 1, 2, 3, 4))
    (method,) = twice.methods.values()
    assert len(method.runs) == 4 and method.figures is None


def test_a_monolithic_team_is_a_headlines_baseline_too() -> None:
    found = made({"shadow-price": 100.0, "siloed": 90.0, "monolithic": 95.0, "run": 120.0}, ("run",))
    assert [headline.over for headline in found.headlines] == ["siloed"] * 3 + ["monolithic"] * 3
    assert found.headlines[3].over_value == pytest.approx(95.0, abs=1.0)
    assert table.text(found).startswith("run against siloed and monolithic\n")


def leaves(value: object, path: str = "") -> set[str]:
    """Documented paths of a comparison's JSON: keys that are names become `<kind>`."""
    kinds = {
        "kpis": "kpi",
        "methods": "method",
        "lift_fraction": "team",
        "probability_of_improvement": "team",
    }
    if path in FIELDS and FIELDS[path][0] != "object or null":
        return {path}
    if isinstance(value, dict):
        key = path.rpartition(".")[2]
        kind = kinds.get(key, ("method" if path.startswith("methods") else "team") if key == "versus" else "")
        inner = [(f"<{kind}>" if kind else name, part) for name, part in value.items()]
        found = [leaves(part, f"{path}.{step}".lstrip(".")) for step, part in inner]
        return ({path} & FIELDS.keys()).union(*found)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return set().union(*(leaves(inner, f"{path}[]") for inner in value))
    return {path}


def test_every_field_of_the_json_is_documented_and_there() -> None:
    runs = {f"run-{i}": 110.0 + i for i in range(10)}
    groups = {"one": list(runs)[:5], "two": list(runs)[5:]}
    found = made({"shadow-price": 100.0, "siloed": 90.0, **runs}, tuple(runs), groups=groups, absolute=True)
    written = json.loads(json.dumps(plain(found.as_json()), allow_nan=False))
    assert leaves(written) == set(FIELDS)
    figures = written["methods"]["one"]
    assert figures["lift_fraction"].keys() == set(Interval.__dataclass_fields__)
    assert FIELDS["methods.<method>.lift_fraction"][0] == INTERVAL
    assert figures["profile"].keys() == set(Profile.__dataclass_fields__)
    assert FIELDS["methods.<method>.profile"][0] == PROFILE
    assert figures["versus"]["two"]["better_run"]["estimate"] == 0.0


def test_the_absolute_metric_is_measured_on_ten_times_the_markets_none_seen_before() -> None:
    course = Course(QUICK, "train", num_markets=2)
    told: set[tuple[str, int]] = set()
    found = compare(["pid"], course, absolute=True, watch=lambda name, played: told.add((name, played)))
    absolute, hero = found.absolute, found.hero.entrant.name
    assert absolute is not None and (absolute.course.first_market, absolute.course.num_markets) == (2, 20)
    whole = play(make_team(hero), Course(QUICK, "train", num_markets=22)).metrics[OBJECTIVE]
    assert np.array_equal(absolute.result.metrics[OBJECTIVE], whole[2:])
    assert (f"{hero} (absolute)", 20) in told
    assert "Absolute metric" in table.text(found) and "20 of their own" in " ".join(table.text(found).split())
    assert (absolute.lift is None) == (hero == found.baseline)


def test_a_lift_over_a_loss_is_undefined() -> None:
    loss = made({"shadow-price": -5.0, "siloed": 1.0, "run": 3.0})
    assert table.percent(loss.standing("run").lift["shadow-price"]) == "undefined"
    json.dumps(plain(loss.as_json()), allow_nan=False)
