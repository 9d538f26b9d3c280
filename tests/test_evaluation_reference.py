from pathlib import Path

import pytest

from evaluation.metric_table import HEADLINES, KPIS, LEFT_OUT
from evaluation.reference import DOCUMENTS, main
from interlude import HOME


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_what_the_tables_say(name: str) -> None:
    written = (Path(HOME) / "docs" / name).read_text(encoding="utf-8")
    assert written == DOCUMENTS[name](), "run: python -m evaluation.reference docs"


def test_it_writes_into_the_folder_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(DOCUMENTS)
    assert main([]) == 2 and "usage" in capsys.readouterr().err


def test_every_ratio_says_what_it_is_when_its_denominator_is_zero() -> None:
    for tag, kpi in KPIS.items():
        divides = " / " in kpi.formula and "hour" not in kpi.formula
        assert bool(kpi.when_empty) or not divides, tag
        assert kpi.when_empty != "NaN" or kpi.when_empty == LEFT_OUT
    assert {tag for _, tag in HEADLINES} <= set(KPIS)
