"""Scripted teams by name: what drives each role, what may be tuned, who knows the simulator's equations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from envs.errors import ConfigurationError, UnknownNameError
from envs.paths import configs_directory
from policies.belief import Estimator, TrueResponse
from policies.desk import CampaignDesk, DeskKnobs
from policies.kalman import KalmanBelief
from policies.pacing import PacingKnobs
from policies.policy import Policy
from policies.ratio import RatioBelief
from policies.scripted_audience import SegmentAverage, TrueAffinity
from policies.scripted_bidding import DeskBidding, PacedBidding, RandomBidding
from policies.scripted_creative import DeskCreative, RandomCreative, RotatingCreative
from policies.scripted_monitor import QuietMonitor, RatioMonitor
from policies.scripted_orchestrator import RuleBook
from policies.team import Team

Knobs = Mapping[str, float]


@dataclass(frozen=True)
class Knob:
    """A setting that `interlude tune-baselines` may move."""

    low: float
    high: float
    default: float
    log: bool = False


@dataclass(frozen=True)
class TeamSpec:
    """A scripted team."""

    description: str
    knowledge: str  # model-free, part model-aware, model-aware, privileged
    build: Callable[[Knobs], dict[str, Policy]]
    knobs: Mapping[str, Knob]


_PACING = {
    "initial_dual": Knob(0.2, 30.0, 2.0, log=True),
    "step": Knob(0.02, 0.4, 0.12, log=True),
    "tilt": Knob(-0.6, 0.6, 0.1),
}
_VALUE = {**_PACING, "price_sd": Knob(0.3, 1.5, 0.45), "exploration": Knob(0.0, 2.0, 0.3)}
_SHADOW = {
    **_VALUE,
    "recall_price": Knob(0.0, 1.0, 0.15),
    "funnel_price": Knob(0.0, 6.0, 1.0),
    "fatigue_price": Knob(0.0, 3.0, 0.7),
}


def _common(audience: Policy | None = None, orchestrator: Policy | None = None) -> dict[str, Policy]:
    return {
        "audience": audience or SegmentAverage(),
        "monitor": RatioMonitor(),
        "orchestrator": orchestrator or RuleBook(),
    }


def _pacing(knobs: Knobs) -> PacingKnobs:
    return PacingKnobs(**{name: knobs[name] for name in PacingKnobs._fields if name in knobs})


def _desk(knobs: Knobs, estimator: Estimator) -> CampaignDesk:
    return CampaignDesk(DeskKnobs.of(**{k: v for k, v in knobs.items() if k != "exploration"}), estimator)


def _random(knobs: Knobs) -> dict[str, Policy]:
    return {**_common(), "monitor": QuietMonitor(), "creative": RandomCreative(), "bidding": RandomBidding()}


def _pid(knobs: Knobs) -> dict[str, Policy]:
    creative = RotatingCreative(
        "rotate", *(knobs[k] for k in ("rotation_intervals", "long", "early", "reach"))
    )
    bidding = PacedBidding(_pacing(knobs), "pid", knobs["frequency_damping"])
    return {**_common(orchestrator=RuleBook(rotate=True)), "creative": creative, "bidding": bidding}


def _siloed(knobs: Knobs) -> dict[str, Policy]:
    """Each agent minds its own: the creative maximises engagement, the bidder buys affinity."""
    own = {"initial_dual": knobs["creative_dual"], "step": 0.0, "price_sd": knobs["price_sd"]}
    own |= {"recall_price": 0.0, "funnel_price": 0.0, "fatigue_price": 0.0}
    desk = _desk(own, RatioBelief(knobs["exploration"]))
    bidding = PacedBidding(_pacing(knobs), "adaptive-dual", knobs["frequency_damping"])
    common = _common(orchestrator=RuleBook(rotate=True))
    return {**common, "creative": DeskCreative(desk, "thompson"), "bidding": bidding}


def _value_aware(knobs: Knobs) -> dict[str, Policy]:
    fixed = {"recall_price": 0.0, "funnel_price": 0.0, "fatigue_price": 0.0}
    desk = _desk({**knobs, **fixed}, RatioBelief(knobs["exploration"]))
    return {**_common(), "creative": DeskCreative(desk, "thompson"), "bidding": DeskBidding(desk, "value")}


def _shadow_price(knobs: Knobs) -> dict[str, Policy]:
    desk = _desk(knobs, RatioBelief(knobs["exploration"]))
    return {
        **_common(),
        "creative": DeskCreative(desk, "thompson"),
        "bidding": DeskBidding(desk, "shadow-price"),
    }


def _certainty_equivalent(knobs: Knobs) -> dict[str, Policy]:
    desk = _desk(knobs, KalmanBelief(knobs["exploration"]))
    name = "certainty-equivalent"
    return {**_common(), "creative": DeskCreative(desk, name), "bidding": DeskBidding(desk, name)}


def _oracle(knobs: Knobs) -> dict[str, Policy]:
    desk = _desk(knobs, TrueResponse())
    creative, bidding = DeskCreative(desk, "oracle"), DeskBidding(desk, "oracle")
    creative.privileged = bidding.privileged = True
    return {**_common(audience=TrueAffinity()), "creative": creative, "bidding": bidding}


_DAMPING = {"frequency_damping": Knob(0.0, 4.0, 1.0)}
_ROTATION = {
    "rotation_intervals": Knob(1.0, 8.0, 2.0),
    "long": Knob(0.0, 1.0, 0.0),
    "early": Knob(0.0, 1.0, 1.0),
    "reach": Knob(0.0, 2.0, 1.0),
}
TEAMS: dict[str, TeamSpec] = {
    "random": TeamSpec("random creatives and bids", "model-free", _random, {}),
    "pid": TeamSpec(
        "PID pacing of affinity bids, creatives by rotation",
        "model-free",
        _pid,
        {**_PACING, "integral": Knob(0.0, 0.1, 0.02), **_DAMPING, **_ROTATION},
    ),
    "siloed": TeamSpec(
        "T0: adaptive dual pacing of affinity bids, Thompson sampling of creatives, grants by turns",
        "part model-aware",
        _siloed,
        {**_VALUE, **_DAMPING, "creative_dual": Knob(0.2, 30.0, 2.0, log=True)},
    ),
    "value-aware": TeamSpec(
        "T1: bids on the creative's immediate value", "part model-aware", _value_aware, _VALUE
    ),
    "shadow-price": TeamSpec(
        "T2: T1 with shadow prices of recall and fatigue", "part model-aware", _shadow_price, _SHADOW
    ),
    "certainty-equivalent": TeamSpec(
        "CE: Bayesian filter over hidden responses, then the oracle's rule on its mean",
        "model-aware",
        _certainty_equivalent,
        _SHADOW,
    ),
    "oracle": TeamSpec(
        "T3: T2's rule with the true responses (evaluation only)", "privileged", _oracle, _SHADOW
    ),
}


_POLICY_SOURCES: dict[str, dict[str, str]] = {
    "audience": {"segment-average": "siloed", "oracle": "oracle"},
    "creative": {
        "random": "random",
        "rotate": "pid",
        "thompson": "value-aware",
        "shadow-price": "shadow-price",
        "certainty-equivalent": "certainty-equivalent",
        "oracle": "oracle",
    },
    "bidding": {
        "random": "random",
        "pid": "pid",
        "adaptive-dual": "siloed",
        "value": "value-aware",
        "shadow-price": "shadow-price",
        "certainty-equivalent": "certainty-equivalent",
        "oracle": "oracle",
    },
    "monitor": {"quiet": "random", "ratio-detectors": "siloed"},
    "orchestrator": {"rotation": "siloed", "rule-book": "value-aware"},
}
"""Scripted policies of each role by name, and the team whose tuned knobs they take."""


def policy_names(role: str) -> list[str]:
    """Names of a role's scripted policies."""
    if role not in _POLICY_SOURCES:
        raise UnknownNameError("role", role, list(_POLICY_SOURCES))
    return list(_POLICY_SOURCES[role])


def make_policy(role: str, name: str) -> Policy:
    """A role's scripted policy by name, alone, with the tuned knobs of the team it comes from."""
    if name not in policy_names(role):
        raise UnknownNameError(f"{role} policy", name, policy_names(role))
    return make_team(_POLICY_SOURCES[role][name]).policies[role]


def policy_knowledge(role: str, name: str) -> str:
    """What a role's scripted policy knows of the simulator."""
    policy_names(role)
    return TEAMS[_POLICY_SOURCES[role][name]].knowledge


def team_names() -> list[str]:
    """Names of the scripted teams, from the plainest to the oracle."""
    return list(TEAMS)


def _spec(name: str) -> TeamSpec:
    if name not in TEAMS:
        raise UnknownNameError("team", name, team_names())
    return TEAMS[name]


def knob_space(name: str) -> Mapping[str, Knob]:
    """What `interlude tune-baselines` may move in a team."""
    return _spec(name).knobs


@lru_cache
def _tuned(name: str) -> tuple[tuple[str, float], ...]:
    path = configs_directory() / "baselines" / f"{name}.json"
    if not path.exists():
        return ()
    stored = json.loads(path.read_text())
    unknown = stored["knobs"].keys() - _spec(name).knobs.keys()
    if unknown:
        raise ConfigurationError(
            f"{path}: unknown knobs {sorted(unknown)}; valid: {sorted(_spec(name).knobs)}"
        )
    return tuple(stored["knobs"].items())


def tuned_knobs(name: str) -> dict[str, float]:
    """Knobs of `configs/baselines/<name>.json`, over the defaults."""
    defaults = {knob: spec.default for knob, spec in _spec(name).knobs.items()}
    return {**defaults, **dict(_tuned(name))}


def make_team(name: str, knobs: Knobs | None = None) -> Team:
    """A scripted team with its tuned knobs, or with others.

    Raises:
        UnknownNameError: no such team; the valid names are listed.
    """
    spec = _spec(name)
    return Team(
        name=name,
        policies=spec.build({**tuned_knobs(name), **(knobs or {})}),
        model_aware=spec.knowledge != "model-free",
    )


DESK_TEAM: Final = "certainty-equivalent"
"""Whose knobs the desk of learned policies has."""


def learning_desk(knobs: Knobs | None = None) -> CampaignDesk:
    """The certainty-equivalent desk that learned policies stand on, with its tuned knobs or with others."""
    knobs = {**tuned_knobs(DESK_TEAM), **(knobs or {})}
    return _desk(knobs, KalmanBelief(knobs["exploration"]))


def describe_teams() -> list[dict[str, str]]:
    """Name, description and knowledge of every scripted team."""
    return [
        {"name": name, "description": s.description, "knowledge": s.knowledge} for name, s in TEAMS.items()
    ]
