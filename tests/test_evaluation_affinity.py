from pathlib import Path

import numpy as np
import pytest

from envs.scenario import load_scenario
from evaluation import affinity
from evaluation.predicted_affinity import plays_label


def test_ranges_of_plays_meet_and_do_not_overlap() -> None:
    edges = [low for low, _ in affinity.PLAYS]
    ends = [high for _, high in affinity.PLAYS]
    assert edges[0] == 0 and ends[-1] is None
    assert [high + 1 for high in ends[:-1] if high is not None] == edges[1:]
    assert [plays_label(*r) for r in ((0, 0), (1, 4), (500, None))] == ["0", "1 to 4", "from 500"]


def test_what_groups_explain_of_what_they_are_made_of_is_all_and_of_noise_little() -> None:
    group = np.repeat(np.arange(4), 100)
    log = np.stack([group.astype(float), np.random.default_rng(0).normal(size=400)])
    assert affinity.explained(log[:1], group) == pytest.approx(1.0)
    assert affinity.explained(log[1:], group) < 0.05


@pytest.mark.parametrize("arguments", [["no/such/folder"]])
def test_a_folder_that_is_none_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert affinity.main(arguments) != 0
    assert "no/such/folder is not a folder" in capsys.readouterr().err


def test_the_document_tells_all(tmp_path: Path) -> None:
    short = load_scenario("quick").model_copy(update={"intervals": 14})  # groups are learned anew after a day
    (tmp_path / "short.yaml").write_text(short.model_dump_json())
    arguments = [str(tmp_path), "--scenario", str(tmp_path / "short.yaml")]
    arguments += ["--markets", "1", "--ladder-markets", "2"]
    assert affinity.main(arguments) == 0
    text = (tmp_path / affinity.DOCUMENT).read_text()
    assert text.startswith(affinity.NOTE)
    for name in affinity.LADDER[:4]:
        assert f"`{name}`" in text
    assert "true taste told" in text and "16 groups by predictions" in text and "votes" in text
    assert "from 500" in text and "of the oracle's gain" in text and "2 markets, paired" in text
