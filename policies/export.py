"""Export: from a run directory to a bundle that an ad server can load.

Every network becomes one ONNX file with its normalisation, masks and decoding in the graph. Before
anything is written the files are run by onnxruntime against the run's own team in PyTorch, on flights of
development markets. Imported only when something is exported: it loads torch.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as bytes_of
from torch import nn

from envs.configuration import load_yaml
from envs.errors import InterludeError
from envs.impressions import ImpressionLog
from envs.market import VectorMarket
from envs.observation import SCHEMAS, schema_hash
from envs.output import plain
from envs.protocol import CellCredit
from envs.scenario import Scenario, load_scenario
from envs.seeds import market_seeds
from policies.audience.agent import FOLDER as AUDIENCE
from policies.audience.agent import CollaborativeAudience
from policies.audience.artefact import artefact_files, load_artefact
from policies.bundle import GOLDEN, MANIFEST, SCENARIO, Bundle, Manifest
from policies.folders import read_manifest
from policies.golden import credit_tensors, impression_tensors
from policies.model_card import model_card
from policies.networks import CreativeActor
from policies.onnx_files import OPSET, ServedCreative, check_parity, onnx_bytes, run_torch, spec_of
from policies.policy import flight_of, policy_seeds
from policies.registry import DESK_TEAM, make_team, team_knowledge, tuned_knobs
from policies.tensors import (
    LEARNED_ROLES,
    ROLES_OF_CAMPAIGNS,
    Arrays,
    describe,
    desk_tensors,
    message_schema,
    role_schema,
    tally_tensors,
)
from policies.triton import triton_files
from policies.weights import load_networks

PARITY_OBSERVATIONS: Final = 1000
GOLDEN_OBSERVATIONS: Final = 64
MAX_GOLDEN_INTERVALS: Final = 96
STAND_IN_TEAM: Final = "pid"
"""Its policies stand in for roles that fail: plain, quick, and they read nothing but observations."""
LIBRARIES: Final = ("interlude", "numpy", "numba", "torch", "onnx", "onnxscript", "onnxruntime")


def export(
    run: str | Path,
    output: str | Path,
    evaluation: str | Path | None = None,
    *,
    layout: Literal["plain", "triton"] = "plain",
) -> dict[str, Any]:
    """Writes the bundle of a run, whole or not at all, and gives its manifest.

    Args:
        run: a run directory.
        output: the bundle's directory: it must be empty or not exist.
        evaluation: JSON of `interlude evaluate`, for the model card.
        layout: `plain`, a bundle; `triton`, its networks as a Triton model repository.

    Raises:
        InterludeError: no run is there or it is damaged, the directory is taken or cannot be written, or
            the exported networks do not reproduce the run's actions.
    """
    run, output = Path(run), Path(output)
    check_output(output)
    if not (run / "config.yaml").is_file():
        raise InterludeError(f"{run} holds no run to export (no config.yaml)")
    compared = _evaluation(evaluation)
    config = load_yaml(run / "config.yaml")
    scenario = load_scenario(str(config.get("scenario", "default")))
    networks = {
        name: ServedCreative(net) if isinstance(net, CreativeActor) else net
        for name, net in load_networks(run / "policies").items()
    }
    manifest = _draft(run, config, scenario, networks)
    seen, logs, credit = record(Bundle(run, Manifest.model_validate(manifest), scenario, {}), networks)
    files = {f"{name}/model.onnx": onnx_bytes(name, network, seen) for name, network in networks.items()}
    manifest["parity"] = check_parity(files, networks, seen)
    files[GOLDEN] = bytes_of(_golden(seen, logs, credit, networks))
    files[SCENARIO] = _json(scenario.model_dump(mode="json"))
    files |= {f"schema/{role}.json": _json(role_schema(role)) for role in SCHEMAS}
    files["schema/messages.json"] = _json(message_schema())
    files |= _audience(run, manifest, scenario)
    files["MODEL_CARD.md"] = model_card(manifest, compared).encode()
    if layout == "triton":
        onnx_files = {name: files[f"{name}/model.onnx"] for name in networks}
        files = triton_files(manifest["models"], onnx_files) | {"MODEL_CARD.md": files["MODEL_CARD.md"]}
    manifest["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    _write(output, {**files, MANIFEST: _json(manifest)})
    return manifest


def check_output(output: Path) -> None:
    """Refuses a bundle's directory that is taken.

    Raises:
        InterludeError: there is something.
    """
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists() or output.is_symlink():
        raise InterludeError(f"{output} exists already: a bundle wants a directory of its own")


def record(
    bundle: Bundle, networks: Mapping[str, nn.Module]
) -> tuple[Arrays, list[ImpressionLog], list[CellCredit]]:
    """Plays development markets with the run's networks and keeps what they were fed: [T, B, C, …].

    `seeds` [B], the orchestrator's observations [T, B, ·] and recurrent actors' memories are among it; beside
    it the impressions of every interval but the last, where the desk reads them, and the credit told in it.
    """
    scenario = bundle.scenario
    count = -(-PARITY_OBSERVATIONS // (scenario.intervals * scenario.campaigns))
    team, desk, tally = bundle.base_team(), bundle.desk(), bundle.tally()
    reads = team.reads_listeners
    market = VectorMarket(scenario, count, split="development", impressions=reads)
    observations = market.reset(market_seeds("development", 0, 0, count))
    flight = flight_of(market, listening=reads, order=team.reads_order)
    team.start(flight)
    desk.start(flight)
    if tally is not None:
        tally.start()
    specs = {role: spec_of(role, networks[role]) for role in ROLES_OF_CAMPAIGNS if role in networks}
    memory: Arrays = {}
    for spec in specs.values():
        memory |= spec.empty_memory(count, market.num_campaigns)
    rows: dict[str, list[NDArray[Any]]] = {}
    logs: list[ImpressionLog] = []
    credit: list[CellCredit] = []
    for _ in range(scenario.intervals):
        if market.impressions is not None and desk.reads_listeners:
            logs.append(market.impressions)
            desk.read_impressions(logs[-1])
        if credit:
            desk.credited.read(credit[-1])
        desk.advance(observations.bidding)
        fed = desk_tensors(desk, observations.bidding) | memory
        if tally is not None:
            fed |= tally_tensors(tally, observations.bidding, scenario.auction.price_level_usd)
        for name, array in {**fed, "orchestrator": observations.orchestrator[:, 0]}.items():
            rows.setdefault(name, []).append(array.copy())
        learned: dict[str, Any] = {}
        for role, spec in specs.items():
            answer = run_torch(role, networks[role], fed)
            learned[role] = answer[spec.outputs[0].name]
            memory |= spec.carried(answer)
        actions = team.act(observations, market.impressions)._replace(**learned)
        credit += [] if actions.credit is None else [actions.credit]
        observations = market.step(actions).observations
    seen = {"seeds": policy_seeds(market.seeds)} | {name: np.stack(arrays) for name, arrays in rows.items()}
    return seen, logs, credit


def _golden(
    seen: Arrays, logs: list[ImpressionLog], credit: list[CellCredit], networks: Mapping[str, nn.Module]
) -> Arrays:
    """The first markets' flights, with the answers: [T, B, C, …] each, their seeds [B], what was told."""
    intervals, _, campaigns = seen["observation"].shape[:3]
    markets = -(-GOLDEN_OBSERVATIONS // (intervals * campaigns))
    kept = {key: array[:MAX_GOLDEN_INTERVALS, :markets] for key, array in seen.items() if key != "seeds"}
    golden = {"seeds": seen["seeds"][:markets], **kept}
    for name, network in networks.items():
        golden |= run_torch(name, network, kept)
    if logs:
        golden |= impression_tensors(logs[: MAX_GOLDEN_INTERVALS - 1], markets)
    if credit:
        golden |= credit_tensors(credit[: min(intervals, MAX_GOLDEN_INTERVALS) - 1], markets)
    return {key: np.ascontiguousarray(array) for key, array in golden.items()}


def _draft(
    run: Path, config: Mapping[str, Any], scenario: Scenario, networks: Mapping[str, nn.Module]
) -> dict[str, Any]:
    """The manifest without parity and sums."""
    trained = read_manifest(run / "policies")
    memory = int(trained["networks"].get("memory", 0))
    credit, tally = (bool(trained["networks"].get(key)) for key in ("credit", "tally"))
    attribution = config.get("attribution")
    about = _json_file(run / MANIFEST)
    learned = [role for role in LEARNED_ROLES if role in networks]
    base = str(config.get("base_team", DESK_TEAM))
    if team_knowledge(base) == "privileged":
        raise InterludeError(f"{run} stands on {base!r}, which reads the hidden truth: it cannot be served")
    aware = any(_model_aware(networks[role]) for role in learned)
    if not {*ROLES_OF_CAMPAIGNS} <= {*learned}:
        aware = aware or team_knowledge(base) != "model-free"
    method = {key: value for key, value in config.items() if key not in {"seed", "run_directory", "name"}}
    return {
        "kind": "interlude-bundle",
        "format": 4 if tally else 3 if attribution else 2 if memory else 1,
        "name": run.resolve().name,
        "learned_roles": learned,
        "model_aware": aware,
        "orchestrator": trained.get("orchestrator", "base"),
        "claims_video": "creative" in learned and _model_aware(networks["creative"]),
        "schema_hash": schema_hash(),
        "schema_hashes": {role: schema.hash for role, schema in SCHEMAS.items()},
        "scenario": scenario.name,
        "memory": memory,
        "models": {name: describe(name, memory, credit=credit, tally=tally) for name in networks},
        "desk": trained.get("desk_knobs", tuned_knobs(DESK_TEAM)),
        "arm_prior": trained.get("arm_prior"),
        "base_team": {"name": base, "knobs": tuned_knobs(base)},
        "reads_listeners": make_team(base).reads_listeners,
        "attribution": attribution,
        "credit": credit,
        "tally": tally,
        "stand_in_team": {"name": STAND_IN_TEAM, "knobs": tuned_knobs(STAND_IN_TEAM)},
        "golden": "leading axes: intervals of a flight, markets; then campaigns. Actors take them as rows N",
        "training": {
            "configuration": dict(config),
            "configuration_hash": trained.get("configuration_hash"),
            "seed": config.get("seed"),
            **{key: trained.get(key) for key in ("iteration", "market_steps", "elapsed_seconds")},
            **{key: about.get(key) for key in ("git_commit", "python", "versions", "started_utc")},
        },
        "training_seed": config.get("seed"),
        "method": hashlib.sha256(json.dumps(method, sort_keys=True, default=str).encode()).hexdigest()[:16],
        "data_sources": {
            "prices": "; ".join(dict.fromkeys(landscape.source for landscape in scenario.landscapes())),
            "listeners": about.get("listening_history") or "synthetic population",
        },
        "versions": {**_versions(), "opset": OPSET},
        "git_commit": about.get("git_commit"),
        "exported_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "sha256": {},
    }


def _audience(run: Path, manifest: Mapping[str, Any], scenario: Scenario) -> dict[str, bytes]:
    """The files of the audience agent's model: the run's own, or fitted now if the run kept none."""
    audience = make_team(manifest["base_team"]["name"]).policies["audience"]
    if not isinstance(audience, CollaborativeAudience):
        return {}
    stored = (run / AUDIENCE).is_dir()
    artefact = load_artefact(run / AUDIENCE) if stored else audience.artefact(scenario)
    return {f"{AUDIENCE}/{name}": data for name, data in artefact_files(artefact).items()}


def _model_aware(network: nn.Module) -> bool:
    actor = network.actor if isinstance(network, ServedCreative) else network
    return bool(getattr(actor, "model_aware", True))


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
            found[name] = None
    return found


def _evaluation(path: str | Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    found = _json_file(Path(path))
    if not isinstance(found.get("teams"), list):
        raise InterludeError(f"{path} is not the JSON of `interlude evaluate`: it has no list of teams")
    return found


def _json_file(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InterludeError(f"{path} is missing or damaged: {error}") from error
    if not isinstance(found, dict):
        raise InterludeError(f"{path} holds no JSON object")
    return found


def _json(value: object) -> bytes:
    return (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode()


def _write(output: Path, files: Mapping[str, bytes]) -> None:
    """Writes a directory beside its place, then renames it."""
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        for name, data in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(output)
    except OSError as error:
        raise InterludeError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
