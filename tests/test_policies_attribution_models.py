from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.attribution_journeys import at_random, by_hand, resampled, simulated

from envs.errors import UnknownNameError
from policies.attribution.models import MODELS, make_model
from policies.attribution.windows import Windows

CELLS = 4


def test_models_are_found_by_name() -> None:
    for name in MODELS:
        assert make_model(name).name == name
    with pytest.raises(UnknownNameError, match=r"did you mean 'markov'\? Valid names: last, first, linear"):
        make_model("marcov")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_a_function_of_its_journeys(name: str) -> None:
    journeys = at_random(1, 200, CELLS)
    once, again = make_model(name).credit(journeys, CELLS), make_model(name).credit(journeys, CELLS)
    assert once.conversions.tobytes() == again.conversions.tobytes()
    assert once.deviation.tobytes() == again.deviation.tobytes()
    assert once.conversions.shape == once.deviation.shape == (CELLS,)
    assert np.isfinite(once.conversions).all() and (once.deviation >= 0.0).all()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "journeys",
    [
        by_hand(),
        by_hand(([], 1.0), ([], None)),
        by_hand(([0, 1, 1], None), ([2], None)),
        by_hand(([0], 5.0)),
        by_hand(([0], 0.0), hour=[0.0]),
        by_hand(([0, 1], 0.5)),
        by_hand(([0, 1], 3.0), ([1], 3.0), held_out=[True, True, True]),
    ],
    ids=["none", "no touch", "no conversion", "one", "all at 0", "touch after conversion", "all held out"],
)
def test_models_stand_what_is_hardly_there(name: str, journeys) -> None:  # type: ignore[no-untyped-def]
    told = make_model(name).credit(journeys, CELLS)
    assert np.isfinite(told.conversions).all() and np.isfinite(told.deviation).all()
    assert told.conversions[3] == 0.0


@pytest.mark.parametrize("name", MODELS)
def test_models_name_a_cell_that_is_not_there(name: str) -> None:
    for journeys in (by_hand(([4], 1.0)), by_hand(([4], None))):
        with pytest.raises(ValueError, match="cell 4"):
            make_model(name).credit(journeys, CELLS)


@pytest.mark.parametrize("name", MODELS)
def test_models_take_the_windows_they_are_given(name: str) -> None:
    journeys = simulated(0, 2000, held_out=0.1).journeys
    short = make_model(name, Windows(1.0, 1.0)).credit(journeys, 8).conversions
    assert short.sum() < 0.7 * make_model(name).credit(journeys, 8).conversions.sum()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), name=st.sampled_from(list(MODELS)), order=st.permutations(range(CELLS)))
def test_renaming_cells_renames_credit(seed: int, name: str, order: list[int]) -> None:
    journeys, model = at_random(seed, 40, CELLS), make_model(name)
    renamed = replace(journeys, cell=np.array(order)[journeys.cell])
    told, other = model.credit(journeys, CELLS), model.credit(renamed, CELLS)
    np.testing.assert_allclose(other.conversions[order], told.conversions, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other.deviation[order], told.deviation, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "incrementality"])
def test_the_deviation_is_that_of_a_bootstrap_of_journeys(name: str) -> None:
    journeys = simulated(3, 3000, held_out=0.1).journeys
    model, rng = make_model(name), np.random.default_rng(0)
    drawn = np.array([model.credit(resampled(journeys, rng), 8).conversions for _ in range(60)])
    told = model.credit(journeys, 8)
    clear = np.abs(told.conversions) > 2.0 * told.deviation  # at the edge of what is allowed neither is right
    assert np.count_nonzero(clear) >= 2
    np.testing.assert_allclose(told.deviation[clear], drawn.std(axis=0, ddof=1)[clear], rtol=0.45)


def test_data_driven_models_come_nearer_the_truth_than_the_last_touch() -> None:
    """Where people who buy anyway are shown more of two cells."""
    errors = {name: [] for name in ("last", "logistic", "survival", "incrementality")}
    for seed in range(3):
        journeys, truth = simulated(seed, 8000, held_out=0.1)
        for name, error in errors.items():
            credit = make_model(name).credit(journeys, len(truth)).conversions
            error.append(np.abs(credit - truth).sum() / truth.sum())
    mean = {name: np.mean(error) for name, error in errors.items()}
    assert mean["logistic"] < 0.8 * mean["last"]
    assert mean["survival"] < 0.4 * mean["last"]
    assert mean["incrementality"] < 0.4 * mean["last"]
