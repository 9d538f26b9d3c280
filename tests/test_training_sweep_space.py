import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import ConfigurationError
from training.sweep_space import Choices, Range, overrides, parse_parameter, parse_parameters, points


def test_parameters_are_lists_or_ranges() -> None:
    assert parse_parameter("ppo.clip=0.1, 0.2") == Choices("ppo.clip", ("0.1", "0.2"))
    assert parse_parameter("ppo.clip=1e-4..1e-2") == Range("ppo.clip", 1e-4, 1e-2)
    roles = parse_parameter("learned_roles=[creative],[creative, bidding]")
    assert roles == Choices("learned_roles", ("[creative]", "[creative, bidding]"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ppo.clip", "KEY=V1"),
        ("=1,2", "KEY=V1"),
        ("ppo.clip=", "KEY=V1"),
        ("ppo.clip=1,,2", "empty"),
        ("ppo.clip=1,1", "twice"),
        ("ppo.clip=0..1", "from above 0"),
        ("ppo.clip=2..1", "goes up"),
        ("ppo.clip=a..b", "two numbers"),
    ],
)
def test_a_malformed_parameter_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_parameter(text)


def test_a_key_stands_once_and_there_is_one() -> None:
    with pytest.raises(ConfigurationError, match=r"ppo\.clip is there twice"):
        parse_parameters(["ppo.clip=1", "ppo.clip=2"])
    with pytest.raises(ConfigurationError, match="needs a --parameter"):
        parse_parameters([])


def test_a_grid_is_tried_whole_unless_it_is_larger_than_the_samples() -> None:
    grid = parse_parameters(["a=1,2,3", "b=x,y"])
    whole = points(grid, None, 0)
    assert whole == points(grid, 6, 1) == points(grid, 50, 2)
    assert len({tuple(point.items()) for point in whole}) == 6
    assert overrides(whole[0]) == ["a=1", "b=x"]
    some = points(grid, 4, 0)
    assert len({tuple(point.items()) for point in some}) == 4
    assert some == points(grid, 4, 0)
    assert some != points(grid, 4, 1)
    with pytest.raises(ConfigurationError, match="a range needs --samples"):
        points(parse_parameters(["a=1..2"]), None, 0)
    with pytest.raises(ConfigurationError, match="a grid of 2000 points needs --samples"):
        points([Choices(key, tuple(map(str, range(n)))) for key, n in (("a", 40), ("b", 50))], None, 0)


@given(
    low=st.floats(1e-8, 1.0), factor=st.floats(1.01, 1e4), seed=st.integers(0, 99), samples=st.integers(1, 9)
)
def test_a_range_is_kept_to(low: float, factor: float, seed: int, samples: int) -> None:
    span = Range("a", low, low * factor)
    drawn = [float(point["a"]) for point in points([span], samples, seed)]
    assert len(drawn) == samples
    for value in drawn:
        assert span.low * (1 - 1e-12) <= value <= span.high * (1 + 1e-12)
        assert span.low <= span.clamped(value * 3) <= span.high
