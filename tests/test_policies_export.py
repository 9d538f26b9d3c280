import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load_file
from support.flights import flight
from support.runs import RECURRENT, SCENARIO, a_run, a_scenario, export_takes_networks_of, exported

from envs.catalogue import ARMS
from envs.errors import InterludeError
from envs.market import VectorMarket
from envs.observation import SCHEMAS, schema_hash
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies import export as exporting
from policies import load_team, onnx_files
from policies.audience.artefact import save_artefact
from policies.audience.listener_model import artefact_of, data_of, shipped_session_model
from policies.audience.taste_embedding import taste_model
from policies.bundle import open_bundle
from policies.critic_orchestrator import CriticOrchestrator
from policies.export import export
from policies.exported import BundleError
from policies.learned import load_run_policies
from policies.model_card import model_card
from policies.policy import flight_of, policy_seeds
from policies.registry import make_team, tuned_knobs
from policies.team import Team
from policies.tensors import MODELS, REFUSED_LOGIT, TOLERANCE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.getbasetemp())[0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.getbasetemp())[1]


@pytest.fixture(scope="module")
def directed_by_critic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run and its bundle whose critic directs, and whose audience reads listeners."""
    return exported(tmp_path_factory.getbasetemp(), base_team="listener-aware")


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((bundle / "manifest.json").read_text())
    return found


def test_a_bundle_holds_what_was_promised(bundle: Path, manifest: dict[str, object]) -> None:
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert files == {
        *("manifest.json", "scenario.json", "golden.safetensors", "MODEL_CARD.md"),
        *(f"{name}/model.onnx" for name in ("creative", "bidding", "critic")),
        *(f"schema/{role}.json" for role in (*SCHEMAS, "messages")),
    }
    assert manifest["sha256"] == {
        name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in files - {"manifest.json"}
    }
    assert manifest["kind"] == "interlude-bundle"
    assert manifest["learned_roles"] == ["creative", "bidding"]
    assert manifest["schema_hash"] == schema_hash()
    assert manifest["desk"] == tuned_knobs("certainty-equivalent")
    assert manifest["training_seed"] == 3
    assert manifest["git_commit"] == "abc"
    assert {"interlude", "torch", "onnx", "onnxruntime", "opset"} <= manifest["versions"].keys()  # type: ignore[attr-defined]
    assert manifest["training"]["configuration_hash"] == "0123456789ab"  # type: ignore[index]
    assert (manifest["format"], manifest["memory"]) == (1, 0)
    assert "iPinYou" in manifest["data_sources"]["prices"]  # type: ignore[index]


def test_schemas_name_fields_units_and_bounds(bundle: Path) -> None:
    for role, schema in SCHEMAS.items():
        told = json.loads((bundle / "schema" / f"{role}.json").read_text())
        assert (told["hash"], told["observation_size"]) == (schema.hash, schema.size)
        for field, expected in zip(told["observation"], schema.fields, strict=True):
            assert (field["name"], field["unit"], tuple(field["shape"])) == (
                expected.name,
                expected.unit,
                expected.shape,
            )
            assert field["start"] == schema.slices[expected.name].start
        assert all({"name", "shape", "low", "high", "unit"} <= action.keys() for action in told["action"])
    bidding = json.loads((bundle / "schema" / "bidding.json").read_text())
    assert bidding["action"][0]["shape"] == [8]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "orchestrator"])
def test_networks_are_as_the_manifest_says_and_free_in_their_batch(
    bundle: Path, manifest: dict[str, object], name: str
) -> None:
    session = onnxruntime.InferenceSession((bundle / name / "model.onnx").read_bytes())
    told = manifest["models"][name]  # type: ignore[index]
    types = {"tensor(float)": "float32", "tensor(bool)": "bool", "tensor(int64)": "int64"}
    for side, tensors in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        assert [(t.name, types[t.type], list(t.shape)) for t in tensors] == [
            (entry["name"], entry["dtype"], entry["shape"]) for entry in told[side]
        ]


def test_no_network_carries_traces_of_the_machine(bundle: Path) -> None:
    for path in bundle.rglob("*.onnx"):
        model = onnx.load(path)
        assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
        assert b".py" not in path.read_bytes()
        assert all(not tensor.external_data for tensor in model.graph.initializer)


def test_parity_stands_on_a_thousand_observations(manifest: dict[str, object]) -> None:
    parity: dict[str, object] = manifest["parity"]  # type: ignore[assignment]
    assert int(parity["observations"]) >= 1000  # type: ignore[call-overload]
    assert parity["creative_disagreements"] == 0
    apart: dict[str, float] = parity["largest_difference"]  # type: ignore[assignment]
    assert apart.keys() == {"logits", "log_multiplier", "value_usd"}
    assert max(apart.values()) <= TOLERANCE == 1e-5


def test_golden_pairs_are_a_real_flight(bundle: Path) -> None:
    golden = load_file(bundle / "golden.safetensors")
    intervals, markets, campaigns = golden["observation"].shape[:3]
    assert (intervals, campaigns) == (6, 2)
    assert intervals * markets * campaigns >= 64
    elapsed = SCHEMAS["bidding"].view(golden["observation"], "elapsed_fraction")
    np.testing.assert_allclose(elapsed[:, 0, 0], np.arange(6) / 6, rtol=1e-6)
    assert (golden["seeds"] == policy_seeds(market_seeds("development", 0, 0, markets))).all()
    arm = golden["logits"].argmax(-1)
    np.testing.assert_array_equal(golden["creative"], ARMS[arm])
    assert (np.abs(golden["log_multiplier"]) <= 4.0).all()
    refused = golden["logits"] == REFUSED_LOGIT
    np.testing.assert_array_equal(refused, ~golden["arm_mask"])
    assert np.ptp(golden["log_multiplier"] - golden["base_log_multiplier"]) > 0.5


def test_the_bundle_plays_a_held_out_flight_as_the_run_does(run: Path, bundle: Path) -> None:
    base = make_team("certainty-equivalent")
    teams = (Team("run", {**base.policies, **load_run_policies(run)}), load_team(bundle))
    scenario = exporting.load_scenario(str(run.parent / "scenario.yaml"))
    markets = [VectorMarket(scenario, 5, split="held_out") for _ in teams]
    seen = [market.reset(market_seeds("held_out", 4, 0, 5)) for market in markets]
    for team, market in zip(teams, markets, strict=True):
        team.start(flight_of(market))
    chosen = set()
    for _ in range(scenario.intervals):
        mine, theirs = (team.act(observed) for team, observed in zip(teams, seen, strict=True))
        np.testing.assert_array_equal(mine.creative, theirs.creative)
        np.testing.assert_allclose(mine.bidding, theirs.bidding, atol=1e-5)
        chosen |= {tuple(arm) for arm in mine.creative.reshape(-1, 4).tolist()}
        seen = [market.step(a).observations for market, a in zip(markets, (mine, theirs), strict=True)]
    np.testing.assert_allclose(markets[0].feed.spend_usd, markets[1].feed.spend_usd, rtol=1e-5)
    assert len(chosen) > 3
    assert not any(team.incapacities for team in teams)


def test_an_orchestrator_that_learned_alone_directs_from_its_bundle_as_from_its_run(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", a_scenario(tmp_path), roles=("orchestrator",))
    manifest = export(run, tmp_path / "bundle")
    assert manifest["learned_roles"] == ["orchestrator"]
    assert manifest["parity"]["largest_difference"].keys() == {"direction", "value_usd"}
    open_bundle(tmp_path / "bundle", whole_flights=True)
    course = Course(load_scenario(str(tmp_path / "scenario.yaml")), "held_out", num_markets=3)
    base = play(make_team("certainty-equivalent"), course).metrics["market/objective_usd"]
    learned, exported_ = (
        play(TeamSource(f"certainty-equivalent+orchestrator={tmp_path / name}")(), course)
        for name in ("run", "bundle")
    )
    assert learned.incapacities == exported_.incapacities == []
    found = [result.metrics["market/objective_usd"] for result in (learned, exported_)]
    np.testing.assert_allclose(*found, rtol=1e-4)
    assert not np.allclose(found[0], base)


def test_a_run_whose_critic_directs_does_so_from_its_bundle_too(
    directed_by_critic: tuple[Path, Path],
) -> None:
    run, bundle = directed_by_critic
    scenario = load_scenario(str(run.parent / "scenario.yaml"))
    course = Course(scenario, "held_out", num_markets=3)
    entrants = [TeamSource(str(source)).resolve() for source in (run, bundle)]
    for entrant in entrants:
        assert isinstance(entrant.team.policies["orchestrator"], CriticOrchestrator)
        assert entrant.learned_roles == ("creative", "bidding", "orchestrator")
    learned, exported_ = (play(entrant.team, course) for entrant in entrants)
    assert learned.incapacities == exported_.incapacities == []
    found = [result.metrics["market/objective_usd"] for result in (learned, exported_)]
    np.testing.assert_allclose(*found, rtol=1e-4)
    *_, last = flight(entrants[1].team, scenario, 3)
    assert not np.allclose(last.market.feed.budget_usd, last.market.parameters.budget_usd, rtol=1e-3)
    assert "by the run's critic" in (bundle / "MODEL_CARD.md").read_text()


def test_a_recurrent_bundle_says_so_and_its_golden_flight_carries_the_memory(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    bundle = exported(tmp_path_factory.getbasetemp(), RECURRENT)[1]
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (manifest["format"], manifest["memory"]) == (2, 5)
    for name, told in manifest["models"].items():
        session = onnxruntime.InferenceSession((bundle / name / "model.onnx").read_bytes())
        for side, tensors in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            assert [(t.name, list(t.shape)) for t in tensors] == [(e["name"], e["shape"]) for e in told[side]]
    assert manifest["models"]["creative"]["inputs"][-1]["shape"] == ["N", 4, 5]
    assert max(manifest["parity"]["largest_difference"].values()) <= TOLERANCE
    assert {"creative_memory_next", "bidding_memory_next"} <= manifest["parity"]["largest_difference"].keys()
    golden = load_file(bundle / "golden.safetensors")
    for name in ("creative_memory", "bidding_memory"):
        assert not golden[name][0].any()
        assert np.abs(golden[name][1:]).max() > 0.1
        np.testing.assert_allclose(golden[name][1:], golden[f"{name}_next"][:-1], atol=1e-6)
    assert "The actors are recurrent" in (bundle / "MODEL_CARD.md").read_text()


def test_parity_carries_the_memory_over_whole_flights(tmp_path_factory: pytest.TempPathFactory) -> None:
    run, bundle = exported(tmp_path_factory.getbasetemp(), RECURRENT)
    networks = served_networks(run)
    files = {f"{name}/model.onnx": (bundle / name / "model.onnx").read_bytes() for name in networks}
    seen = load_file(bundle / "golden.safetensors")
    report = onnx_files.check_parity(files, networks, seen)
    without = {name: array for name, array in seen.items() if "memory" not in name}
    assert onnx_files.check_parity(files, networks, without) == report
    first = {name: array if name == "seeds" else array[:1] for name, array in seen.items()}
    networks["bidding"].memory.held.weight.data += 0.5  # type: ignore[attr-defined]
    onnx_files.check_parity(files, networks, first)  # an empty memory does not tell
    with pytest.raises(BundleError, match="onnxruntime's 'log_multiplier' differs from PyTorch's by"):
        onnx_files.check_parity(files, networks, seen)


def test_a_taken_directory_is_refused_before_any_work(run: Path, tmp_path: Path) -> None:
    taken = tmp_path / "bundle"
    taken.mkdir()
    (taken / "mine").touch()
    with pytest.raises(InterludeError, match="exists already"):
        export(run, taken)
    assert [path.name for path in taken.iterdir()] == ["mine"]
    exporting.check_output(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    exporting.check_output(tmp_path / "empty")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting.os, "fsync", full)
    with pytest.raises(InterludeError, match=r"cannot write .*bundle: No space left"):
        exporting._write(tmp_path / "bundle", {"a/b": b"x"})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InterludeError, match=r"holds no run to export"):
        export(tmp_path, tmp_path / "bundle")
    with pytest.raises(InterludeError, match="missing or damaged"):
        export(run, tmp_path / "bundle", tmp_path / "absent.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InterludeError, match="it has no list of teams"):
        export(run, tmp_path / "bundle", tmp_path / "other.json")
    peeping = a_run(tmp_path / "peeping", a_scenario(tmp_path), base_team="oracle")
    with pytest.raises(InterludeError, match="'oracle', which reads the hidden truth"):
        export(peeping, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_network_that_answers_otherwise_is_not_exported(run: Path, bundle: Path) -> None:
    names = [name for name in MODELS if (bundle / name).is_dir()]
    files = {f"{name}/model.onnx": (bundle / name / "model.onnx").read_bytes() for name in names}
    seen = load_file(bundle / "golden.safetensors")
    networks = served_networks(run)
    assert onnx_files.check_parity(files, networks, seen)["creative_disagreements"] == 0
    networks["bidding"].output.bias.data += 0.01  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match="onnxruntime's 'log_multiplier' differs from PyTorch's by"):
        onnx_files.check_parity(files, networks, seen)


def served_networks(run: Path) -> dict[str, object]:
    networks = exporting.load_networks(run / "policies")
    return {
        name: onnx_files.ServedCreative(net) if name == "creative" else net  # type: ignore[arg-type]
        for name, net in networks.items()
    }


def test_the_model_card_tells_figures_and_limits(manifest: dict[str, object], bundle: Path) -> None:
    card = (bundle / "MODEL_CARD.md").read_text()
    for expected in (
        "# run",
        "creative and bidding",
        "model-aware",
        "## Parity",
        "None were given",
        "## Limits",
    ):
        assert expected in card
    assert str(bundle.parent) not in card
    interval = {"estimate": 1234.0, "low": 1200.0, "high": 1260.0}
    evaluation = {
        "scenario": "quick",
        "split": "held_out",
        "markets": 256,
        "baseline": "siloed",
        "teams": [
            {
                "team": "run",
                "knowledge": "model-aware",
                "learned_roles": ["creative"],
                "objective_usd": interval,
                "lift_fraction": {"siloed": {"estimate": 0.2, "low": 0.15, "high": 0.25}},
            },
            {"team": "siloed", "knowledge": "model-free", "objective_usd": interval, "lift_fraction": {}},
        ],
    }
    told = model_card(manifest, evaluation)
    assert "| **run** | learned, model-aware | 1,234 [1,200, 1,260] | +20.0% [+15.0%, +25.0%] |" in told
    assert "256 held_out markets" in told


@pytest.mark.parametrize("memory", [0, 4])
def test_a_trained_run_of_one_role_from_scratch(memory: int, one_ray: None, tmp_path: Path) -> None:
    """End to end: training, export, and the team of the bundle."""
    from training.configuration import load_training
    from training.run_directory import RunDirectory
    from training.session import Session

    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    (tmp_path / "tiny.yaml").write_text(
        f"name: tiny\nscenario: {tmp_path / 'scenario.yaml'}\niterations: 2\nlearned_roles: [bidding]\n"
        "base_team: pid\ndevelopment: {every: 0}\nsampling: {markets: 4}\nppo: {minibatches: 2}\n"
        "networks: {bidding_hidden: 8, critic_hidden: 8, belief: false, bidding_residual: false, "
        f"memory: {memory}}}\n"
    )
    opened = RunDirectory.create(tmp_path / "run", load_training(tmp_path / "tiny.yaml"))
    try:
        Session(opened).train()
    finally:
        opened.close()
    manifest = export(tmp_path / "run", tmp_path / "bundle")
    assert manifest["learned_roles"] == ["bidding"]
    assert manifest["model_aware"] is False
    assert manifest["training"]["iteration"] == 2
    team = load_team(tmp_path / "bundle")
    assert team.policies["creative"].name == "rotate"
    market = VectorMarket(exporting.load_scenario(str(tmp_path / "scenario.yaml")), 3)
    seen = market.reset(market_seeds("held_out", 0, 0, 3))
    team.start(flight_of(market))
    run_policy = load_run_policies(tmp_path / "run")["bidding"]
    run_policy.start(flight_of(market))
    for _ in range(market.scenario.intervals):
        actions = team.act(seen)
        np.testing.assert_allclose(actions.bidding, run_policy.act(seen.bidding), atol=1e-5)
        seen = market.step(actions).observations
    assert not team.incapacities


def test_a_bundle_whose_audience_reads_listeners_says_so_and_plays(
    directed_by_critic: tuple[Path, Path], tmp_path: Path
) -> None:
    _, bundle = directed_by_critic
    assert "impressions=True" in (bundle / "MODEL_CARD.md").read_text()
    team, scenario = load_team(bundle), load_scenario(a_scenario(tmp_path))
    assert play(team, Course(scenario, num_markets=3)).incapacities == []
    market = VectorMarket(scenario, 2)
    observations = market.reset(market_seeds("train", 0, 0, 2))
    team.start(flight_of(market))  # as a reader of the card would not
    team.act(observations)
    assert [incapacity.role for incapacity in team.incapacities] == ["audience"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_bundle_carries_what_its_audience_tells_listeners_apart_by(
    kept: bool, directed_by_critic: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted at export, or as the run kept it: here the model that reads order."""
    run, bundle = directed_by_critic
    scenario, shipped = load_scenario(a_scenario(tmp_path)), shipped_session_model()
    if kept:
        export_takes_networks_of(bundle, monkeypatch)
        run = shutil.copytree(run, tmp_path / "run")
        save_artefact(run / "audience", artefact_of(shipped, data_of(scenario, ", their order and skips")))
        export(run, tmp_path / "bundle")
    else:
        shutil.copytree(bundle, tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert {"audience/manifest.json", "audience/model.safetensors"} <= set(manifest["sha256"])
    listeners = open_bundle(tmp_path / "bundle").listeners
    assert listeners is not None and listeners.name == ("session" if kept else "taste")
    wanted = shipped.taste if kept else taste_model(scenario)
    for found, expected in zip(listeners.taste, wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    for team in (load_team(tmp_path / "bundle"), TeamSource(str(run))()):
        assert team.reads_order is kept
        assert play(team, Course(scenario, num_markets=2)).incapacities == []
    damaged = tmp_path / "bundle" / "audience" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"audience.model\.safetensors is damaged"):
        load_team(tmp_path / "bundle")
