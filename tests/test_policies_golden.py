import numpy as np
import pytest
from support.flights import flight

from envs.scenario import load_scenario
from policies.golden import impression_tensors, take_impressions
from policies.registry import make_team


def test_impressions_survive_and_other_markets_do_not() -> None:
    team = make_team("listener-aware")
    logs = []
    for moment, _ in zip(flight(team, load_scenario("quick"), 3), range(4), strict=False):
        logs.append(moment.market.impressions)
    tensors = impression_tensors(logs, 2) | {"observation": np.zeros(3)}
    found = take_impressions(tensors)
    assert list(tensors) == ["observation"] and sorted(found) == [1, 2, 3, 4]
    for interval, log in enumerate(logs, 1):
        kept = log.market < 2
        for column, again in zip(log, found[interval], strict=True):
            np.testing.assert_array_equal(column[kept], again)
            assert column.dtype == again.dtype


def test_a_bundle_without_impressions_has_none_and_a_broken_one_says_what_is_missing() -> None:
    assert take_impressions({"observation": np.zeros(1)}) == {}
    with pytest.raises(KeyError, match="impressions/market"):
        take_impressions({"impressions/interval": np.array([1])})
