from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
from support.small_ray import start_ray

from envs.paths import data_directory

FIRST = (
    *("test_serving_ray_app", "test_training_cluster"),  # they end the Ray of their process
    *("test_training_session", "test_policies_export", "test_evaluation_rollout", "test_training_benchmark"),
    *("test_training_ladder", "test_evaluation_report", "test_evaluation_orchestrators"),
    *("test_policies_from_scratch", "test_policies_bundle", "test_serving_replay", "test_serving_crash"),
    *("test_evaluation_handicap", "test_training_adaptation", "test_envs_naive", "test_policies_learned"),
)
"""Files that run before the others: what takes long must not begin when the other processes are done."""

gc.disable()  # until all modules are there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts by file; the order within one stays."""
    rank = {name: n for n, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(FIRST)))


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real samples, which no test may need."""
    folder = data_directory()
    if not folder.is_dir():
        pytest.skip(f"no real samples: {folder} does not exist (set INTERLUDE_DATA_DIR)")
    return folder


@pytest.fixture(scope="module")
def one_ray() -> None:
    """One small Ray for all runs of a file, and of the files that follow in the same process."""
    pytest.importorskip("ray")
    start_ray()


@pytest.fixture(autouse=True)
def same_torch_numbers() -> None:
    """Every test draws PyTorch's numbers from the same place, whatever ran before it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
