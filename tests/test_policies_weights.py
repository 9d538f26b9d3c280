from pathlib import Path

import pytest
import torch

from envs.errors import InterludeError
from policies import weights
from policies.critic import ObservableCritic
from policies.folders import DamagedFileError, read_folder, write_folder
from policies.networks import BiddingActor, CreativeActor, NetworkSettings
from policies.weights import (
    load_actors,
    load_networks,
    pack_tensors,
    save_networks,
    unpack_tensors,
)

SETTINGS = NetworkSettings(creative_hidden=8, bidding_hidden=8, critic_hidden=8)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    networks = {
        "creative": CreativeActor(SETTINGS),
        "bidding": BiddingActor(SETTINGS),
        "critic": ObservableCritic(SETTINGS),
    }
    save_networks(folder, networks, SETTINGS, {"scenario": "quick"})
    return folder


def test_what_is_saved_comes_back(saved: Path) -> None:
    networks = load_networks(saved)
    assert set(networks) == {"creative", "bidding", "critic"}
    assert set(load_actors(saved)) == {"creative", "bidding"}
    again = saved.parent / "again"
    save_networks(again, networks, SETTINGS, {})
    for name, network in load_networks(again).items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, networks[name].state_dict()[key])
    assert not any(parameter.requires_grad for parameter in networks["creative"].parameters())


def test_the_manifest_says_what_is_there(saved: Path) -> None:
    manifest, files = read_folder(saved)
    assert manifest["scenario"] == "quick"
    assert manifest["networks"]["creative_hidden"] == 8
    assert manifest["tensors"]["bidding"]["log_std"] == [8]
    assert set(manifest["sha256"]) == set(files)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
@pytest.mark.parametrize("name", ["creative.safetensors", "manifest.json"])
def test_a_damaged_file_is_named(saved: Path, damage: str, name: str) -> None:
    path = saved / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0xFF
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[: len(data) // 2])}.get(damage, b""))
    if damage == "missing":
        path.unlink()
    with pytest.raises(DamagedFileError, match=name):
        load_networks(saved)


def test_another_schema_is_refused_and_both_are_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was = weights.schema_hash()
    monkeypatch.setattr(weights, "schema_hash", lambda: "0123456789abcdef")
    with pytest.raises(InterludeError, match=f"(?s){was}.*0123456789abcdef"):
        load_networks(saved)


def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"sha256": {"../secret": ""}}')
    with pytest.raises(DamagedFileError, match=r"manifest\.json"):
        read_folder(folder)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "checkpoint"
    write_folder(folder, {"a": b"first"}, {"n": 1}, keep=True)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(InterludeError, match="No space left"):
            write_folder(folder, {"a": b"second"}, {"n": 2}, keep=True)
    assert read_folder(folder)[1] == {"a": b"first"}
    write_folder(folder, {"a": b"third"}, {"n": 3}, keep=True)
    assert read_folder(folder)[1] == {"a": b"third"}
    assert read_folder(tmp_path / "checkpoint.previous")[1] == {"a": b"first"}
    write_folder(folder, {"a": b"fourth"}, {"n": 4}, keep=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_tensors_are_packed_without_pickles() -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "step": torch.tensor(7)}
    data = pack_tensors(tensors)
    found = unpack_tensors(data, "x")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    with pytest.raises(DamagedFileError, match="x"):
        unpack_tensors(data[:20], "x")
