"""Every test that docs/reliability.md names exists, and every row of the list that is training's is there."""

import ast
import re

import pytest

from interlude import HOME

TEXT = (HOME / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if re.match(r"\| (\d+|–) \|", line)]
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", TEXT)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    tree = ast.parse((HOME / "tests" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_names_a_test() -> None:
    numbers = {row.split("|")[1].strip() for row in ROWS}
    assert {*map(str, range(1, 9)), "15", "16"} <= numbers
    for row in ROWS:
        assert re.search(r"`test_\w+\.py::test_\w+`", row), row
