import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evaluation.tuning as tuning
from envs.errors import ConfigurationError, UnknownNameError
from evaluation.rollout import Course
from evaluation.tuning import (
    Knobs,
    Search,
    Trial,
    Tuned,
    propose,
    scores,
    shared_verticals,
    store,
    tune,
)
from policies.registry import knob_space, make_team
from policies.specs import Knob

SPACE = {"a": Knob(0.1, 10.0, 1.0, log=True), "b": Knob(-1.0, 1.0, 0.0)}
SEARCH = Search("siloed", ("quick",), markets=2, max_trials=64)


@pytest.fixture
def bowl(monkeypatch: pytest.MonkeyPatch) -> list[Knobs]:
    """A world whose objective is a bowl with its top at a = 3, b = .5; notes what is asked of it."""
    asked: list[Knobs] = []

    def objective(team: str, knobs: Knobs, course: Course) -> np.ndarray:  # type: ignore[type-arg]
        asked.append(knobs)
        height = 100.0 - np.log(knobs["a"] / 3.0) ** 2 - (knobs["b"] - 0.5) ** 2
        return height + np.random.default_rng(course.seed).normal(0.0, 0.1, course.num_markets)

    monkeypatch.setattr(tuning, "_objective", objective)
    monkeypatch.setattr(tuning, "knob_space", lambda team: SPACE)
    monkeypatch.setattr(tuning, "tuned_knobs", lambda team, vertical=None: {"a": 1.0, "b": 0.0})
    return asked


@pytest.mark.usefixtures("bowl")
def test_the_top_of_a_bowl_is_found_and_checked_on_other_markets(tmp_path: Path) -> None:
    found = tune(SEARCH, state_directory=tmp_path)
    assert found.knobs["a"] == pytest.approx(3.0, rel=0.15)
    assert found.knobs["b"] == pytest.approx(0.5, abs=0.15)
    assert found.improved and found.objective_after_usd > found.objective_before_usd
    assert (found.validation_seed, found.validation_markets) == (1, 8)
    assert found.doubling_gain_fraction < 0.002
    assert found.trials == 64 < tuning.MINIMUM and not found.converged
    longer = tune(dataclasses.replace(SEARCH, max_trials=512), state_directory=tmp_path)
    assert longer.converged and longer.trials == tuning.MINIMUM


def test_a_broken_search_goes_on_where_it_stopped(tmp_path: Path, bowl: list[Knobs]) -> None:
    whole = tune(SEARCH, state_directory=tmp_path / "a")
    asked = len(bowl)

    class Stop(Exception): ...  # noqa: N818

    def stop(team: str, trials: int, best: float) -> None:
        if trials > 20:
            raise Stop

    with pytest.raises(Stop):
        tune(SEARCH, state_directory=tmp_path / "b", watch=stop)
    bowl.clear()
    assert tune(SEARCH, state_directory=tmp_path / "b") == whole
    assert len(bowl) < asked - 20


@pytest.mark.usefixtures("bowl")
def test_kept_trials_of_another_world_are_left_alone(tmp_path: Path) -> None:
    whole = tune(SEARCH, state_directory=tmp_path)
    (state,) = tmp_path.iterdir()
    kept = json.loads(state.read_text())
    kept["trials"][0]["objective_usd"] = [1.0]
    kept["trials"][1]["objective_usd"] = [1e9]
    state.write_text(json.dumps(kept))
    assert tune(SEARCH, state_directory=tmp_path) == whole
    state.write_text("{half")
    assert tune(SEARCH, state_directory=tmp_path) == whole


@pytest.mark.usefixtures("bowl")
def test_what_does_not_hold_on_other_markets_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fickle(team: str, knobs: Knobs, course: Course) -> np.ndarray:  # type: ignore[type-arg]
        sign = 1.0 if course.seed == 0 else -1.0
        return np.full(course.num_markets, 100.0 + sign * knobs["b"])

    monkeypatch.setattr(tuning, "_objective", fickle)
    found = tune(SEARCH, state_directory=tmp_path)
    assert not found.improved
    assert found.knobs == {"a": 1.0, "b": 0.0}
    assert found.objective_after_usd == found.objective_before_usd == (100.0,)
    assert found.lift_fraction[0].estimate < 0


@given(st.integers(0, 200), st.integers(0, 5))
def test_proposals_stay_within_their_knobs_and_depend_on_the_seed_alone(index: int, seed: int) -> None:
    trials = [Trial({"a": 1.0, "b": 0.9}, (1.0,)), Trial({"a": 9.9, "b": -1.0}, (2.0,))]
    knobs = propose(SPACE, trials, seed, index)
    assert knobs == propose(SPACE, trials, seed, index)
    assert knobs != propose(SPACE, trials, seed + 1, index)
    for name, value in knobs.items():
        assert SPACE[name].low <= value <= SPACE[name].high


def test_verticals_searched_are_those_that_all_scenarios_train_on() -> None:
    trained = shared_verticals(["default"])
    assert len(trained) == 6 and "travel" not in trained
    assert set(shared_verticals(["default", "quick"])) <= set(trained)


def test_scenarios_weigh_alike() -> None:
    trials = [Trial({}, (100.0, 1000.0)), Trial({}, (110.0, 1000.0)), Trial({}, (100.0, 1200.0))]
    assert scores(trials) == pytest.approx([1.0, 1.05, 1.1])


def test_a_real_team_is_tuned_on_training_markets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = tmp_path / "short.yaml"
    scenario.write_text("name: short\ndescription: short\ncampaigns: 1\nintervals: 3\n")
    search = Search("pid", (str(scenario),), markets=1, max_trials=32)
    assert {course.split for course in search.courses(0, 1)} == {"train"}
    found = tune(search, state_directory=tmp_path)
    assert found.knobs.keys() == knob_space("pid").keys()
    make_team("pid", found.knobs)
    monkeypatch.setattr(tuning, "configs_directory", lambda: tmp_path)
    stored = json.loads(store(found).read_text())
    assert stored["knobs"] == found.knobs
    assert stored["search"]["markets"] == 1
    assert stored["lift_fraction"][0]["kind"] == "over_markets"


def test_a_verticals_knobs_are_found_on_its_markets_and_stored_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "configs_directory", lambda: tmp_path)
    search = Search("siloed", ("quick",), "retail", markets=2, max_trials=64)
    for course in search.courses(0, 2):
        assert course.scenario.verticals == ("retail",)
    path = tmp_path / "baselines" / "siloed.json"
    path.parent.mkdir()
    found = Tuned("siloed", {"step": 0.1}, True, (1.0,), (2.0,), (), 0.0, True, 64, SEARCH, 8, 1)
    store(found)
    store(dataclasses.replace(found, knobs={"step": 0.2}, search=search))
    store(
        dataclasses.replace(found, knobs={"step": 0.3}, search=dataclasses.replace(search, vertical="food"))
    )
    store(dataclasses.replace(found, knobs={"step": 0.4}))
    stored = json.loads(path.read_text())
    assert stored["knobs"] == {"step": 0.4}
    assert {v: entry["knobs"]["step"] for v, entry in stored["verticals"].items()} == {
        "food": 0.3,
        "retail": 0.2,
    }
    assert stored["verticals"]["retail"]["search"]["vertical"] == "retail"


def test_searches_are_told_apart_by_what_they_search() -> None:
    prints = {
        SEARCH.fingerprint(),
        dataclasses.replace(SEARCH, team="pid").fingerprint(),
        dataclasses.replace(SEARCH, markets=3).fingerprint(),
        dataclasses.replace(SEARCH, seed=1).fingerprint(),
        dataclasses.replace(SEARCH, scenarios=("default",)).fingerprint(),
        dataclasses.replace(SEARCH, vertical="food").fingerprint(),
        dataclasses.replace(SEARCH, vertical="retail").fingerprint(),
    }
    assert len(prints) == 7
    assert dataclasses.replace(SEARCH, max_trials=128).fingerprint() == SEARCH.fingerprint()


def test_misuse_is_named() -> None:
    with pytest.raises(ConfigurationError, match="team 'random' has no knobs"):
        Search("random", ("quick",))
    with pytest.raises(UnknownNameError, match="unknown trained vertical of scenario quick 'travel'"):
        Search("pid", ("quick",), "travel")
    with pytest.raises(ConfigurationError, match="max_trials must be at least 16, got 8"):
        Search("pid", max_trials=8)
