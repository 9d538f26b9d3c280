import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.runs import RECURRENT, TALLYING, exported

from envs.catalogue import K, P, S
from envs.errors import InterludeError
from envs.market import VectorMarket
from envs.paths import ROOT
from envs.protocol import MAX_MULTIPLIER_LOG
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from policies import bundle as bundles
from policies import load_team
from policies.bundle import open_bundle
from policies.exported import BundleError, ExportedModel
from policies.policy import flight_of
from policies.tensors import desk_tensors, difference, disagreements, flat


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.getbasetemp())[1]


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def rewrite(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def resign(bundle: Path, name: str) -> None:
    """Makes the manifest agree with a file that was changed on purpose."""
    found = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    rewrite(bundle, lambda manifest: manifest["sha256"].update({name: found}))


def test_a_bundle_is_served_without_torch_and_ray(original: Path) -> None:
    code = (
        "import sys, policies\n"
        "assert not {'torch', 'ray', 'onnxruntime', 'numba'} & set(sys.modules), 'import policies is heavy'\n"
        f"team = policies.load_team({str(original)!r})\n"
        "print(team.name, sorted({'torch', 'ray', 'pickle5'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout.strip(), done.returncode) == ("run []", 0), done.stderr


@pytest.mark.parametrize("scenario", ["quick", "four-campaigns"])
def test_a_team_serves_any_number_of_markets_and_campaigns(original: Path, scenario: str) -> None:
    team = load_team(original)
    assert team.policies["creative"].desk is team.policies["bidding"].desk  # type: ignore[attr-defined]
    assert team.stand_ins.keys() == team.policies.keys()
    assert team.model_aware
    market = VectorMarket(load_scenario(scenario), 3, split="held_out")
    seen = market.reset(market_seeds("held_out", 0, 0, 3))
    team.start(flight_of(market))
    for _ in range(3):
        actions = team.act(seen)
        assert actions.creative.shape == (3, market.num_campaigns, S, 4)
        assert actions.bidding.shape == (3, market.num_campaigns, 1 + P + S)
        assert (np.abs(actions.bidding) <= MAX_MULTIPLIER_LOG).all()
        seen = market.step(actions).observations
    assert not team.incapacities


def test_a_market_alone_is_answered_as_in_a_batch(original: Path) -> None:
    scenario, seeds = load_scenario("quick"), market_seeds("held_out", 1, 0, 4)
    together, alone = load_team(original), load_team(original)
    many, one = VectorMarket(scenario, 4), VectorMarket(scenario, 1)
    seen, mine = many.reset(seeds), one.reset(seeds[2:3])
    together.start(flight_of(many))
    alone.start(flight_of(one))
    for _ in range(3):
        whole, part = together.act(seen), alone.act(mine)
        np.testing.assert_array_equal(whole.creative[2:3], part.creative)
        np.testing.assert_allclose(whole.bidding[2:3], part.bidding, atol=1e-6)
        seen, mine = many.step(whole).observations, one.step(part).observations


@pytest.mark.parametrize("campaigns", [1, 2, 3, 4])
def test_the_critic_values_any_number_of_campaigns_alike_in_any_order(original: Path, campaigns: int) -> None:
    opened = open_bundle(original)
    scenario = opened.scenario.model_copy(update={"campaigns": campaigns})
    market = VectorMarket(scenario, 3)
    seen, desk = market.reset(market_seeds("train", 0, 0, 3)), opened.desk()
    desk.start(flight_of(market))
    desk.advance(seen.bidding)
    tensors = {**desk_tensors(desk, seen.bidding), "orchestrator": seen.orchestrator[:, 0]}
    value = opened.models["critic"](tensors)["value_usd"]
    assert value.shape == (3, campaigns, 2 + S)
    one = {name: array[1:2] for name, array in tensors.items()}
    np.testing.assert_allclose(opened.models["critic"](one)["value_usd"], value[1:2], rtol=1e-3, atol=0.1)


def test_masks_are_in_the_graph(original: Path) -> None:
    golden = load_file(original / "golden.safetensors")
    rows = flat({name: golden[name][0] for name in golden if name not in ("seeds", "orchestrator")})
    rows["arm_mask"] = np.zeros_like(rows["arm_mask"])
    rows["arm_mask"][..., 5] = True
    answer = open_bundle(original).models["creative"](rows)
    assert (answer["logits"].argmax(-1) == 5).all()
    assert (answer["creative"] == answer["creative"][:1, :1]).all()
    assert (answer["logits"][..., np.arange(K) != 5] == -1e9).all()


def test_bids_stay_within_the_protocol_whatever_the_base(original: Path) -> None:
    golden = load_file(original / "golden.safetensors")
    rows = flat({name: golden[name][0] for name in golden if name not in ("seeds", "orchestrator")})
    model = open_bundle(original).models["bidding"]
    for base in (100.0, -100.0):
        rows["base_log_multiplier"] = np.full_like(rows["base_log_multiplier"], base)
        np.testing.assert_array_equal(model(rows)["log_multiplier"], np.sign(base) * MAX_MULTIPLIER_LOG)


FILES = ("creative/model.onnx", "critic/model.onnx", "golden.safetensors", "scenario.json", "MODEL_CARD.md")


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(bundle: Path, name: str, damage: str) -> None:
    path = bundle / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data) if damage == "flip" else bytes(data[: len(data) // 2]))
    if damage == "missing":
        path.unlink()
    with pytest.raises(InterludeError, match=f"{name} is (damaged|missing)") as raised:
        load_team(bundle)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "interlude-run"}', '{"kind": "interlude-bundle"}'])
def test_a_damaged_manifest_is_named(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json is not the manifest of a bundle"):
        load_team(bundle)


def test_no_bundle_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"absent/manifest\.json is missing"):
        load_team(tmp_path / "absent")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname"])
def test_a_manifest_cannot_lead_out_of_the_bundle(bundle: Path, name: str) -> None:
    rewrite(bundle, lambda manifest: manifest["sha256"].update({name: "0"}))
    with pytest.raises(BundleError, match="lies outside the bundle"):
        load_team(bundle)


def test_another_schema_is_refused_and_both_are_named(bundle: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["schema_hash"] = "0123456789abcdef"
        manifest["schema_hashes"]["bidding"] = "fedcba9876543210"

    rewrite(bundle, change)
    with pytest.raises(
        BundleError, match=rf"0123456789abcdef.*{bundles.schema_hash()} \(different: bidding\)"
    ):
        load_team(bundle)


def test_a_corrupt_network_with_a_good_sum_is_named(bundle: Path) -> None:
    (bundle / "bidding/model.onnx").write_bytes(b"not a network")
    resign(bundle, "bidding/model.onnx")
    with pytest.raises(BundleError, match=r"bidding/model\.onnx: onnxruntime cannot load it"):
        load_team(bundle)


@pytest.mark.parametrize(
    "name", ["observation", "campaign_belief", "base_log_multiplier", "logits", "value_usd"]
)
def test_golden_pairs_catch_what_computes_otherwise(bundle: Path, name: str) -> None:
    golden = load_file(bundle / "golden.safetensors")
    golden[name] = golden[name] * np.float32(1.01) + np.float32(0.01)
    save_file(golden, bundle / "golden.safetensors")
    resign(bundle, "golden.safetensors")
    with pytest.raises(BundleError, match="no longer gives the golden"):
        load_team(bundle)
    load_team(bundle, verify=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["desk"].pop("exploration"), "knobs of another version"),
        (lambda m: m["desk"].update(charm=1.0), "knobs of another version"),
        (lambda m: m["sha256"].pop("scenario.json"), r"names no scenario\.json"),
        (lambda m: m["sha256"].pop("bidding/model.onnx"), "names no network 'bidding'"),
        (lambda m: m["base_team"].update(name="value-awful"), "unknown team 'value-awful'"),
    ],
)
def test_a_manifest_that_does_not_fit(bundle: Path, change: Callable[[Any], None], message: str) -> None:
    rewrite(bundle, change)
    with pytest.raises(InterludeError, match=message):
        load_team(bundle)


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("memory", [0, 4, 10**12])
def test_a_manifest_that_tells_another_memory_is_refused(
    recurrent: bool, memory: int, bundle: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if recurrent:
        bundle = tmp_path / "recurrent"
        shutil.copytree(exported(tmp_path_factory.getbasetemp(), RECURRENT)[1], bundle)
    load_team(bundle)
    rewrite(bundle, lambda manifest: manifest.update(memory=memory))
    if not recurrent and not memory:
        load_team(bundle)
        return
    with pytest.raises(BundleError, match=r"model\.onnx takes .*; by the manifest it would be"):
        load_team(bundle, verify=False)
    rewrite(bundle, lambda manifest: manifest.update(memory=-1))
    with pytest.raises(BundleError, match=r"manifest\.json is not the manifest of a bundle: memory"):
        load_team(bundle)


@pytest.mark.parametrize("name", ["creative_memory", "bidding_memory_next"])
def test_golden_memories_are_those_of_a_replay(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    original = exported(tmp_path_factory.getbasetemp(), RECURRENT)[1]
    bundle = Path(shutil.copytree(original, tmp_path / "bundle"))
    golden = load_file(bundle / "golden.safetensors")
    golden[name][1] += np.float32(0.01)
    save_file(golden, bundle / "golden.safetensors")
    resign(bundle, "golden.safetensors")
    with pytest.raises(BundleError, match=f"no longer gives the golden '{name}'"):
        load_team(bundle)


@pytest.mark.parametrize("name", ["campaign_tally", "segment_tally", "own_log_multiplier"])
def test_golden_tallies_are_those_of_a_replay(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    original = exported(tmp_path_factory.getbasetemp(), TALLYING)[1]
    bundle = Path(shutil.copytree(original, tmp_path / "bundle"))
    golden = load_file(bundle / "golden.safetensors")
    golden[name][1] += np.float32(0.01)
    save_file(golden, bundle / "golden.safetensors")
    resign(bundle, "golden.safetensors")
    with pytest.raises(BundleError, match=f"the tally no longer gives the golden '{name}'"):
        load_team(bundle)


def test_a_manifest_that_denies_the_tally_is_refused(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    original = exported(tmp_path_factory.getbasetemp(), TALLYING)[1]
    bundle = Path(shutil.copytree(original, tmp_path / "bundle"))
    rewrite(bundle, lambda manifest: manifest.update(tally=False))
    with pytest.raises(BundleError, match=r"model\.onnx takes .*campaign_tally"):
        load_team(bundle, verify=False)


def test_bytes_that_are_no_network() -> None:
    with pytest.raises(BundleError, match="here: onnxruntime cannot load it"):
        ExportedModel(b"", "here")


def test_differences_are_absolute_below_one_and_relative_above() -> None:
    assert difference("logits", np.array([0.5, -1e9]), np.array([0.51, -1e9])) == pytest.approx(0.01)
    assert difference("logits", np.array([100.0]), np.array([101.0])) == pytest.approx(0.01)
    assert difference("value_usd", np.array([0.0, 1000.0]), np.array([1.0, 1000.0])) == pytest.approx(0.001)
    assert not difference("logits", np.array([0.0]), np.array([np.nan])) <= 1e9
    logits = np.array([[0.0, 1.0], [1.0, 1.0]])
    one, other = np.array([[0, 0], [0, 0]]), np.array([[1, 0], [1, 0]])
    assert disagreements(logits, one, other) == 1
