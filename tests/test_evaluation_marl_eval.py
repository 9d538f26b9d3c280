import json
from typing import Any

import numpy as np
import pytest

from envs.output import plain
from envs.scenario import load_scenario
from evaluation.compare import _comparison, compare
from evaluation.comparison import Comparison
from evaluation.marl_eval import ENVIRONMENT, as_marl_eval, uneven
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.rollout import Course, TeamResult
from evaluation.sources import Entrant
from policies.registry import make_team

QUICK = load_scenario("quick").model_copy(update={"intervals": 6})
J = "market_objective_usd"


def written(comparison: Comparison) -> dict[str, Any]:
    """What the file holds."""
    found: dict[str, Any] = json.loads(json.dumps(plain(as_marl_eval(comparison)), allow_nan=False))
    return found


def with_methods(runs: dict[str, int]) -> Comparison:
    """Made-up figures of two scripted teams and of methods with so many training runs."""
    scores: dict[str, tuple[float, str | None]] = {"siloed": (90.0, None), "shadow-price": (100.0, None)}
    for method, count in runs.items():
        scores |= {f"{method}/{n}": (110.0 + n, method) for n in range(count)}
    entrants, results = [], []
    for seed, (name, (score, method)) in enumerate(scores.items()):
        team = make_team("pid")
        team.name = name
        trained = (("bidding",), (seed,)) if method else ((), ())
        entrants.append(Entrant(name, team, "model-free", *trained, method))
        metrics = {tag: score + np.arange(10.0) for tag in KPIS}
        results.append(TeamResult(name, False, False, metrics, {}, [], 0.0))
    groups = {method: [name for name in scores if name.startswith(f"{method}/")] for method in runs}
    return _comparison(entrants, results, Course(QUICK, num_markets=10), "shadow-price", groups)


@pytest.mark.parametrize("absolute", [False, True])
def test_environment_task_algorithm_run_step(absolute: bool) -> None:
    found = compare(["pid"], Course(QUICK, "train", num_markets=2), absolute=absolute)
    algorithms = written(found)[ENVIRONMENT]["quick_train"]
    assert algorithms.keys() == {"pid", "siloed", "shadow-price"}
    hero = found.hero.entrant.name
    for name, runs in algorithms.items():
        (run,) = runs.values()
        assert run["step_0"].pop("step_count") == 0
        values = found.standing(name).result.metrics[OBJECTIVE].tolist()
        assert run["step_0"][J] == values
        assert run["step_0"].keys() == run["absolute_metrics"].keys()
        again = 20 if absolute and name == hero else 2
        assert {len(values) for values in run["absolute_metrics"].values()} == {again}


def test_it_is_read_as_marl_eval_reads() -> None:
    """The look-ups of `create_matrices_for_rliable` in marl-eval 0.0.4, step by step, on lower-case keys.

    Tasks, algorithms, runs, steps and metrics are those of whatever stands first; all else must have them.
    """
    found = written(with_methods({"mine": 5, "yours": 5}))
    assert uneven(found) is None
    environment = json.loads(json.dumps(found).lower())[ENVIRONMENT]
    (task,) = environment
    algorithms = list(environment[task])
    runs = list(environment[task][algorithms[0]])
    steps = list(environment[task][algorithms[0]][runs[0]])
    (absolute,) = (step for step in steps if "absolute" in step)
    metrics = [
        name for name in environment[task][algorithms[0]][runs[0]][absolute] if "step_count" not in name
    ]
    matrix = {
        (metric, step, algorithm): [np.mean(environment[task][algorithm][run][step][metric]) for run in runs]
        for metric in metrics
        for step in steps
        for algorithm in algorithms
    }
    assert len(runs) == 5 and not any("," in name for name in algorithms)
    for step in steps:
        assert matrix[J, step, "mine"] == [114.5 + n for n in reversed(range(5))]
        assert matrix[J, step, "siloed"] == [94.5] * 5  # no training seed would have changed it
    counts = [environment[task][a][run]["step_0"]["step_count"] for a in algorithms for run in runs]
    assert round(np.mean(counts)) == 0


def test_what_it_cannot_aggregate_is_said() -> None:
    reason = uneven(written(with_methods({"mine": 5, "yours": 3})))
    assert reason is not None and "mine 5" in reason and "yours 3" in reason and "siloed 5" in reason


def test_marl_eval_itself_loads_it() -> None:
    """Where it is on the path: its pins do not go with ours, but these functions need numpy and colorama."""
    processing = pytest.importorskip("marl_eval.utils.data_processing_utils")
    diagnosis = pytest.importorskip("marl_eval.utils.diagnose_data_errors")
    found = written(with_methods({"mine": 5, "yours": 5}))
    checked = diagnosis.DiagnoseData(raw_data=found).check_data()
    assert set(checked[ENVIRONMENT].values()) == {True}
    processed = processing.data_process_pipeline(found, [J])
    matrices, tensors = processing.create_matrices_for_rliable(processed, ENVIRONMENT, [J])
    assert matrices[f"mean_{J}"]["mine"].ravel().tolist() == [114.5 + n for n in reversed(range(5))]
    assert tensors[f"mean_norm_{J}"]["siloed"].shape == (5, 1, 1)
