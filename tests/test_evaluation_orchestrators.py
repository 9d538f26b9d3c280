"""Orchestrators take each other's place by name, and say why they direct what they direct."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.runs import a_scenario, exported

from envs.errors import InterludeError
from envs.scenario import load_scenario
from evaluation.orchestrators import DESCRIBED, audit, compared, main, text
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource


@pytest.mark.parametrize("kind", [0, 1], ids=["run", "bundle"])
def test_the_critic_of_a_run_or_a_bundle_splits_budgets(
    kind: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = exported(tmp_path_factory.getbasetemp())[kind]
    entrant = TeamSource(f"value-aware+orchestrator=critic:{source}").resolve()
    assert entrant.name == f"value-aware+orchestrator=critic:{source.name}"
    assert entrant.knowledge == "model-aware"
    course = Course(load_scenario(str(source.parent / "scenario.yaml")), "development", num_markets=2)
    assert not play(entrant.team, course).incapacities


def test_the_table_has_a_row_for_each(tmp_path: Path) -> None:
    course = Course(load_scenario(str(a_scenario(tmp_path))), "development", num_markets=2)
    results = compared(list(DESCRIBED), course)
    told = text(results, course, "this", {"elsewhere": results})
    assert all(f"| `{name}` |" in told for name in (*DESCRIBED, "elsewhere"))
    assert "failed" not in told


def test_an_audit_tells_every_decision_with_its_reason(tmp_path: Path) -> None:
    scenario = str(a_scenario(tmp_path))
    lines = audit("value-aware", scenario, 1)
    assert len(lines) >= 4
    assert all("video for" in line or "bids of campaign" in line for line in lines)
    with pytest.raises(InterludeError, match="gives no reasons"):
        audit("value-aware+orchestrator=evaluation.silenced:SilentOrchestrator", scenario, 0)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["docs", str(tmp_path / "nowhere")])
