from __future__ import annotations

from pathlib import Path

import pytest

from envs.observation import SCHEMAS, schema_hash
from envs.paths import ROOT
from envs.protocol import BOUNDS
from envs.reference import DOCUMENTS, main


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_documents_are_up_to_date(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == DOCUMENTS[name](), "run `python -m envs.reference docs`"


def test_everything_is_listed() -> None:
    observations, protocol = (DOCUMENTS[name]() for name in ("observations.md", "protocol.md"))
    for schema in SCHEMAS.values():
        for field in schema.fields:
            assert f"| `{field.name}` |" in observations
    assert schema_hash() in observations
    for role, fields in BOUNDS.items():
        section = protocol.partition(f"### {role}\n")[2].partition("###")[0]
        assert all(f"| `{field}` |" in section for field in fields)


def test_it_writes_into_an_existing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(DOCUMENTS)
    for wrong in ([], [str(tmp_path / "none")], ["a", "b"]):
        assert main(wrong) == 2
    assert "usage" in capsys.readouterr().err
