"""A run whose networks see credit, beside the scripted team that hears the same and one that hears none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envs.configuration import load_yaml
from envs.errors import ConfigurationError
from envs.scenario import load_scenario
from evaluation.intervals import over_markets
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies.folders import read_manifest
from policies.registry import make_team


def measure(run: Path, markets: int) -> dict[str, Any]:
    """J of all three on held-out markets of the run's scenario, compared in pairs.

    Raises:
        InterludeError: no run is there, or it has no attribution.
    """
    team = TeamSource(str(run)).resolve().team
    config, manifest = load_yaml(run / "config.yaml"), read_manifest(run / "policies")
    model, base = config.get("attribution"), str(config.get("base_team"))
    if model is None:
        raise ConfigurationError(f"{run} was trained without attribution: its networks see no credit")
    course = Course(load_scenario(str(config["scenario"])), "held_out", num_markets=markets, batch_size=8)
    teams = (team, make_team(base, attribution=model), make_team(base))
    learned, scripted, none = (play(each, course).metrics[OBJECTIVE] for each in teams)
    return {
        "base_team": base,
        "model": model,
        "sees_credit": bool(manifest["networks"].get("credit", False)),
        "learned_roles": list(manifest["learned_roles"]),
        "iterations": manifest["iteration"],
        "market_steps": manifest["market_steps"],
        "markets": markets,
        "objective_usd": [float(each.mean()) for each in (learned, scripted, none)],
        "over_scripted": over_markets(learned, scripted).listed(),
        "over_none": over_markets(learned, none).listed(),
        "scripted_over_none": over_markets(scripted, none).listed(),
    }
