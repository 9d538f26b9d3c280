from __future__ import annotations

from pathlib import Path

import pytest
from support.runs import a_scenario

from envs.scenario import load_scenario
from evaluation.compare import Comparison, compare
from evaluation.ranking import DOCUMENT, NOTE, main, order, ranking_text
from evaluation.rollout import Course
from evaluation.sources import ALL_SCRIPTED
from policies.registry import team_names


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    scenario = load_scenario(str(a_scenario(tmp_path_factory.mktemp("scenario"))))
    return compare([ALL_SCRIPTED], Course(scenario, "development", num_markets=3, batch_size=3))


def test_teams_stand_in_the_order_of_their_objective(comparison: Comparison) -> None:
    names = order(comparison)
    assert set(names) == set(team_names()) - {"oracle"}
    figures = [comparison.standing(name).objective.estimate for name in names]
    assert figures == sorted(figures, reverse=True)


def test_the_document_holds_every_team_and_figure(comparison: Comparison) -> None:
    text = ranking_text([comparison])
    assert text.startswith(NOTE)
    assert "3 development markets" in text
    section = text.partition("## tiny\n")[2]
    for standing in comparison.standings:
        assert f"| `{standing.entrant.name}` | {standing.entrant.knowledge} |" in section
        assert f"{standing.objective.estimate:,.0f} [" in section
    assert section.count("| baseline |") == 1
    assert ", ".join(order(comparison)) in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows[:3]} == {6}


def test_one_command_writes_it(tmp_path: Path) -> None:
    told: list[str] = []
    scenario = str(a_scenario(tmp_path))
    asked = [str(tmp_path), "--scenario", scenario, "--markets", "2", "--split", "train"]
    assert main(asked, told.append) == 0
    assert "2 train markets" in (tmp_path / DOCUMENT).read_text(encoding="utf-8")
    assert len(told) == 1 and told[0].startswith(scenario)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [(["none"], 1, "none is not a folder"), ([".", "--scenario", "defualt"], 2, "default")],
)
def test_what_cannot_be_done_is_said(arguments: list[str], code: int, says: str) -> None:
    told: list[str] = []
    assert main(arguments, told.append) == code
    assert says in told[-1]
