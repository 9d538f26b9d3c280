from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from support.listening import rounds, two_tastes
from typer.testing import CliRunner

from interlude import HOME, app
from policies.audience.collaborative import load_collaborative
from policies.audience.sequences import ORDER_NOTE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "history"
    folder.mkdir()
    history = two_tastes()
    rows = zip(history.listener.tolist(), history.item.tolist(), history.plays.tolist(), strict=True)
    lines = ["userID\tartistID\tweight", *("\t".join(map(str, row)) for row in rows)]
    (folder / "user_artists.dat").write_text("\n".join(lines) + "\n")
    sequences = rounds(80, 130, 8)
    lines = [" ".join(map(str, [row, *sequences.of(row).tolist()])) for row in range(80)]
    (folder / "sequences.txt").write_text("\n".join(lines) + "\n")
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["audience", *map(str, arguments)])


@pytest.mark.parametrize("model", ["als", "bpr"])
def test_fit_writes_a_model_that_loads(folder: Path, tmp_path: Path, model: str) -> None:
    output, told = tmp_path / "model", tmp_path / "told.json"
    run = call(
        "fit",
        "--listening-history",
        folder,
        "--model",
        model,
        "--output",
        output,
        "--seed",
        3,
        "--json",
        told,
    )
    assert run.exit_code == 0, run.stderr
    assert load_collaborative(output).settings.seed == 3
    manifest, said = (json.loads(path.read_text()) for path in (output / "manifest.json", told))
    assert manifest["data"] == said["data"]
    assert (said["data"]["listeners"], said["data"]["items"], said["data"]["file"]) == (
        60,
        40,
        "user_artists.dat",
    )
    assert len(manifest["data"]["sha256"]) == 64


def test_evaluate_tells_a_table_and_every_seed(folder: Path) -> None:
    run = call("evaluate", "--listening-history", folder, "--model", "als", "--splits", 2, "--json", "-")
    found = json.loads(run.stdout)
    assert found["seeds"] == [0, 1] and "sequences" not in found
    als = found["counts"]["models"][1]
    assert als["model"] == "als" and len(als["metrics"]["recall_at_20"]["by_seed"]) == 2
    text = call("evaluate", "--listening-history", folder, "--model", "als", "--splits", 1)
    assert "ndcg_at_20, mean ± sd" in text.stdout
    assert "popularity" in text.stdout


@pytest.mark.slow
def test_sequences_are_fitted_and_evaluated_with_a_word_on_their_order(folder: Path, tmp_path: Path) -> None:
    from policies.audience.sequence_model import load_sequence_model

    output = tmp_path / "model"
    run = call("fit", "--listening-history", folder, "--model", "gru", "--output", output)
    assert run.exit_code == 0, run.stderr
    assert load_sequence_model(output).settings.kind == "gru"
    assert ORDER_NOTE in json.loads((output / "manifest.json").read_text())["data"]["note"]
    text = call("evaluate", "--listening-history", folder, "--model", "gru", "--splits", 1)
    assert ORDER_NOTE in text.stdout
    assert "markov" in text.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "--model", "als"], 2, "--output"),
        (["fit", "--output", "{new}"], 2, "--model"),
        (["fit", "--model", "als", "--output", "{folder}"], 1, "is not empty"),
        (["fit", "--model", "magic", "--output", "{new}"], 2, "magic"),
        (["evaluate", "--output", "{new}"], 2, "--json"),
        (["forget"], 2, "forget"),
    ],
)
def test_misuse(folder: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    names = {"new": tmp_path / "new", "folder": folder}
    run = call(*(a.format(**names) for a in arguments), "--listening-history", folder)
    assert run.exit_code == code
    assert message in run.stderr


def test_a_folder_with_nothing_to_learn_from(tmp_path: Path) -> None:
    for action in (["evaluate"], ["fit", "--model", "sasrec", "--output", tmp_path / "new"]):
        run = call(*action, "--listening-history", tmp_path)
        assert run.exit_code == 2
        assert "sequences.txt" in run.stderr
    assert not (tmp_path / "new").exists()


def test_a_malformed_history_leaves_no_model(folder: Path, tmp_path: Path) -> None:
    with (folder / "user_artists.dat").open("a") as file:
        file.write("1\tabba\t3\n")
    lines = len((folder / "user_artists.dat").read_text().splitlines())
    run = call("fit", "--listening-history", folder, "--model", "als", "--output", tmp_path / "new")
    assert run.exit_code == 2
    assert f"user_artists.dat:{lines}:2: column 'artistID'" in run.stderr
    assert not (tmp_path / "new").exists()


def test_counts_need_no_torch() -> None:
    modules = ", ".join(f"policies.audience.{name}" for name in ("commands", "collaborative", "evaluate"))
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOME)
    assert run.stdout.strip() == "False"
