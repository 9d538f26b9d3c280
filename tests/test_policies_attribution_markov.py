import numpy as np
import pytest
from support.attribution_journeys import at_random, by_hand

from policies.attribution.journeys import Journeys
from policies.attribution.markov import Markov
from policies.attribution.windows import DEFAULT_WINDOWS


def walked(journeys: Journeys, cells: int) -> np.ndarray:
    """The definition, by walking the chain until nothing is left on its way."""
    paths = DEFAULT_WINDOWS.eligible(journeys, cells)
    steps: dict[object, list[object]] = {}
    for j, converted in enumerate(paths.converted):
        path = paths.cell[paths.offset[j] : paths.offset[j + 1]].tolist()
        if path:
            for here, there in zip(["start", *path], [*path, "yes" if converted else "no"], strict=True):
                steps.setdefault(here, []).append(there)

    def converts(removed: int | None) -> float:
        mass, done = {"start": 1.0}, 0.0
        while sum(mass.values()) > 1e-14:
            onward: dict[object, float] = {}
            for here, much in mass.items():
                for there in steps[here]:
                    if there == "yes":
                        done += much / len(steps[here])
                    elif there not in ("no", removed):
                        onward[there] = onward.get(there, 0.0) + much / len(steps[here])
            mass = onward
        return done

    effect = np.array([1.0 - converts(cell) / converts(None) for cell in range(cells)])
    touched = np.diff(paths.offset) > 0
    return np.count_nonzero(paths.converted & touched) * effect / effect.sum()


def test_removal_effects_of_a_chain_by_hand() -> None:
    # From the start half go to 0 and half to 1; 0 leads to 1 or to nothing, 1 to a conversion 2 times in 3.
    journeys = by_hand(([0, 1], 2.0), ([0], None), ([1], 2.0), ([1], None))
    told = Markov().credit(journeys, 2)
    # All convert .5; without 0, 1/2 · 2/3; without 1, none: removal effects 1/3 and 1.
    np.testing.assert_allclose(told.conversions, [0.5, 1.5])


def test_no_touch_no_part_in_the_chain() -> None:
    journeys = by_hand(([0, 1], 2.0), ([0], None), ([1], 2.0), ([1], None), ([], 1.0), ([], None))
    np.testing.assert_allclose(Markov().credit(journeys, 3).conversions, [0.5, 1.5, 0.0])


@pytest.mark.parametrize("seed", range(4))
def test_the_chain_is_the_one_that_is_walked(seed: int) -> None:
    journeys = at_random(seed, 40, 4)
    np.testing.assert_allclose(Markov().credit(journeys, 4).conversions, walked(journeys, 4), rtol=1e-9)


def test_repeats_of_a_cell_are_loops_that_change_nothing() -> None:
    once = by_hand(([0, 1], 6.0), ([0], None), ([1, 0], 6.0), ([1], None))
    often = by_hand(([0, 0, 0, 1, 1], 6.0), ([0, 0], None), ([1, 1, 0], 6.0), ([1], None))
    np.testing.assert_allclose(Markov().credit(once, 2).conversions, Markov().credit(often, 2).conversions)


def test_without_conversions_there_is_no_credit() -> None:
    told = Markov().credit(by_hand(([0, 1], None)), 2)
    assert told.conversions.tolist() == told.deviation.tolist() == [0.0, 0.0]
