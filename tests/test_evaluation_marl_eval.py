import json

import pytest

from envs.output import plain
from envs.scenario import load_scenario
from evaluation.compare import compare
from evaluation.marl_eval import ENVIRONMENT, as_marl_eval
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course

QUICK = load_scenario("quick").model_copy(update={"intervals": 6})


@pytest.mark.parametrize("absolute", [False, True])
def test_environment_task_algorithm_run_step(absolute: bool) -> None:
    found = compare(["pid"], Course(QUICK, "train", num_markets=2), absolute=absolute)
    written = json.loads(json.dumps(plain(as_marl_eval(found)), allow_nan=False))
    algorithms = written[ENVIRONMENT]["quick_train"]
    assert algorithms.keys() == {"pid", "siloed", "shadow-price"}
    hero = found.hero.entrant.name
    for name, runs in algorithms.items():
        (run,) = runs.values()
        assert run["step_0"].pop("step_count") == 0
        values = found.standing(name).result.metrics[OBJECTIVE].tolist()
        assert run["step_0"]["market_objective_usd"] == values
        assert run["step_0"].keys() == run["absolute_metrics"].keys()
        again = 20 if absolute and name == hero else 2
        assert {len(values) for values in run["absolute_metrics"].values()} == {again}
