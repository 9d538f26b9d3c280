from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InterludeError
from policies.audience.artefact import (
    FORMAT,
    KIND,
    TENSORS,
    Artefact,
    DataDescription,
    load_artefact,
    save_artefact,
    take_tensor,
)
from policies.folders import DamagedFileError, read_folder, with_manifest

DATA = DataDescription(file="x.dat", sha256="ab", listeners=2, items=3, events=4, note="drawn")
ARTEFACT = Artefact("als", {"dimensions": 2}, DATA, {"a": np.arange(6.0).reshape(3, 2), "b": np.arange(4)})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_artefact(tmp_path / "model", ARTEFACT, {"said": "for people"})
    found = load_artefact(tmp_path / "model")
    assert found[:3] == ARTEFACT[:3]
    for name, tensor in ARTEFACT.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert (manifest["kind"], manifest["format"], manifest["said"]) == (KIND, FORMAT, "for people")
    assert manifest["tensors"]["a"] == ["float64", 3, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    save_artefact(tmp_path, ARTEFACT)
    path = tmp_path / TENSORS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(bytes(data) if damage == "flip" else bytes(data[:10]))
    with pytest.raises(DamagedFileError, match=TENSORS):
        load_artefact(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "interlude-run"}, "kind must be 'interlude-audience-model', got 'interlude-run'"),
        ({"format": 99}, "format must be 1, got 99"),
        ({"model": "magic"}, "damaged"),
        ({"data": {"file": "x"}}, "damaged"),
    ],
)
def test_another_folder_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    save_artefact(tmp_path, ARTEFACT)
    path = tmp_path / "manifest.json"
    manifest, files = read_folder(tmp_path)
    path.write_bytes(with_manifest(files, {**manifest, **change})["manifest.json"])
    with pytest.raises(InterludeError, match=message) as caught:
        load_artefact(tmp_path)
    assert str(path) in str(caught.value)


def test_a_tensor_must_fit() -> None:
    assert take_tensor(ARTEFACT, "a", (None, 2)) is ARTEFACT.tensors["a"]
    with pytest.raises(DamagedFileError, match=r"'c' \(any, 2\) is missing"):
        take_tensor(ARTEFACT, "c", (None, 2))
    for shape in ((3, 3), (6,)):
        with pytest.raises(DamagedFileError, match=r"'a' must have shape .* got \(3, 2\)"):
            take_tensor(ARTEFACT, "a", shape)
