from __future__ import annotations

import pytest

from envs.scenario import load_scenario
from evaluation.intervals import TooFewRunsError
from evaluation.rollout import Course
from training.ladder import LISTENERS, ladder, main, top_rung_by_seed


def test_the_prior_and_the_listeners_are_worth_something_each_and_more_together() -> None:
    """On development markets, where 64 of them tell effects of several percent apart."""
    rungs = {
        name: lift
        for name, _, lift in ladder(Course(load_scenario("default"), "development", num_markets=64))
    }
    first, prior, audience, listeners, both = rungs.values()
    assert (first.estimate, first.low, first.high) == (0.0, 0.0, 0.0)
    assert prior.low > 0.0
    assert audience.low > 0.0
    assert audience.estimate < listeners.estimate
    assert both.estimate > max(prior.estimate, listeners.estimate)
    assert list(rungs)[3] == LISTENERS


def test_it_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main("quick", 2)
    assert "over certainty-equivalent" in capsys.readouterr().out


def test_what_is_claimed_of_the_method_is_over_training_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    means, lift = top_rung_by_seed(Course(load_scenario("quick"), num_markets=2), 5, prior_markets=8)
    assert len(set(means)) == 5 and lift.kind == "over_runs"
    with pytest.raises(TooFewRunsError):
        main("quick", 2, seeds=1)
    assert "training seed" not in capsys.readouterr().out
