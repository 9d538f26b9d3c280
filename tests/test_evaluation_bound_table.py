import pytest

from envs.scenario import load_scenario
from evaluation.bound_table import expected_shares, main
from evaluation.clairvoyant_team import clairvoyant_team
from evaluation.linear_market import NoBoundError
from evaluation.rollout import Course
from policies.registry import make_team


def test_shares_do_not_depend_on_the_batch_and_never_exceed_one() -> None:
    scenario = load_scenario("linear").model_copy(update={"intervals": 4})
    found = [
        expected_shares(
            Course(scenario, "held_out", 0, 3, batch_size=size), [clairvoyant_team(), make_team("pid")]
        )
        for size in (1, 3)
    ]
    for name in ("clairvoyant", "pid"):
        assert found[0][name].tolist() == found[1][name].tolist()
        assert (found[0][name] <= 1.0).all()
    assert found[0]["clairvoyant"].mean() > found[0]["pid"].mean()


def test_the_table_is_printed_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    main(markets=1)
    lines = capsys.readouterr().out.splitlines()
    assert "clairvoyant" in lines[2] and "random" in lines[-1]


def test_no_share_without_an_exact_bound() -> None:
    capped = load_scenario("linear").model_copy(update={"daily_cap_fraction": 0.5})
    for scenario, words in ((load_scenario("default"), "no clairvoyant bound"), (capped, "upper bound only")):
        with pytest.raises(NoBoundError, match=words):
            expected_shares(Course(scenario, "held_out", 0, 1), [make_team("pid")])
