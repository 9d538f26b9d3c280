import importlib.util

import numpy as np
import pytest

from envs.errors import InterludeError
from evaluation.watchdog import references
from policies.watchdog.signals import Signal

JUMP = np.concatenate([np.zeros(24), np.full(8, 4.0), np.zeros(16)]) + 0.1 * np.sin(np.arange(48))


def test_a_library_that_is_missing_is_told_with_the_command() -> None:
    with pytest.raises(
        InterludeError, match=r"no_such_library.*pip install 'interlude\[watchdog-references\]'"
    ):
        references.library("no_such_library")


@pytest.mark.parametrize("name", list(references.REFERENCES))
def test_references_tell_of_a_rise_and_of_nothing_else(name: str) -> None:
    pytest.importorskip(name.split()[0])
    finder, settings = references.REFERENCES[name]
    assert list(settings) == sorted(settings)
    for setting in settings[:2]:
        told = finder(JUMP, setting)
        assert told and 24 <= told[0] <= 31
        assert (
            not finder(-JUMP, setting)
            or name != "ruptures PELT (hindsight)"
            or finder(-JUMP, setting) == [32]
        )


@pytest.mark.skipif(importlib.util.find_spec("ruptures") is None, reason="needs ruptures")
def test_the_compiled_search_is_pelt() -> None:
    import ruptures

    rng = np.random.default_rng(0)
    for _ in range(5):
        series = rng.normal(0.0, 1.0, 48) + np.where(np.arange(48) > rng.integers(10, 40), 2.0, 0.0)
        plain = ruptures.Pelt(model="l2", min_size=2, jump=1).fit(series).predict(pen=8.0)
        search = references.library("ruptures").KernelCPD(kernel="linear", min_size=2, jump=1)
        assert [int(edge) for edge in search.fit(series.reshape(-1, 1)).predict(pen=8.0)] == plain


def test_residuals_are_standardised_on_the_side_that_is_watched() -> None:
    expected = np.full((2, 1, 1), 4.0)
    expected[1] = 0.0
    signal = Signal(np.full((2, 1, 1), 8.0), expected)
    assert references.residuals("invalid_traffic", signal)[:, 0, 0].tolist() == [2.0, 0.0]
    told = references.residuals("ctr_drop", signal)[
        :, 0, 0
    ]  # varies by more than chance: variance 4 + 4² / 2
    assert told.tolist() == pytest.approx([-4.0 / np.sqrt(12.0), 0.0])
    assert references.residuals("cpa_breach", signal)[:, 0, 0].tolist() == [-2.0, 0.0]
