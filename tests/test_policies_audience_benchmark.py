from pathlib import Path

import pytest
from support.markets import tiny

from policies.audience import benchmark
from policies.audience.listener_model import shipped_session_model


def test_every_cost_is_measured() -> None:
    scenario = tiny(listeners={"count": 32})
    cost = benchmark.measure(shipped_session_model(), scenario, requests=40, sample=2)
    assert all(figure > 0.0 for figure in cost)
    assert cost.request_p50_ms <= cost.request_p99_ms


def test_a_folder_without_a_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["no/such/model"]) == 1
    assert "no/such/model" in capsys.readouterr().err
    assert benchmark.main(["a", "b"]) == 2


def test_a_bundle_is_one_too() -> None:
    assert benchmark._model_in(Path("checkpoints/reference")).name == "taste"
