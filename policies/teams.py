"""The scripted teams: what drives each role, what may be tuned, who knows the simulator's equations."""

from __future__ import annotations

from policies.arm_prior import ArmPrior
from policies.audience.agent import CollaborativeAudience
from policies.belief import Estimator, TrueResponse
from policies.desk import CampaignDesk, DeskKnobs
from policies.impression_belief import ImpressionBelief
from policies.kalman import KalmanBelief
from policies.pacing import MultiplicativePacer, Pacer, PacingKnobs
from policies.policy import Policy
from policies.ratio import RatioBelief
from policies.scripted_audience import SegmentAverage, TrueAffinity
from policies.scripted_bidding import DeskBidding, PacedBidding, RandomBidding
from policies.scripted_creative import DeskCreative, RandomCreative, RotatingCreative
from policies.scripted_monitor import QuietMonitor
from policies.scripted_orchestrator import RuleBook
from policies.specs import (
    MODEL_AWARE,
    MODEL_FREE,
    PACING,
    PART_MODEL_AWARE,
    PRIVILEGED,
    Knob,
    Knobs,
    TeamSpec,
)
from policies.watchdog.monitor import SequentialMonitor

_VALUE = {**PACING, "price_sd": Knob(0.3, 1.5, 0.45), "exploration": Knob(0.0, 2.0, 0.3)}
_SHADOW = {
    **_VALUE,
    "recall_price": Knob(0.0, 1.0, 0.15),
    "funnel_price": Knob(0.0, 6.0, 1.0),
    "fatigue_price": Knob(0.0, 3.0, 0.7),
}


def _common(audience: Policy | None = None, orchestrator: Policy | None = None) -> dict[str, Policy]:
    return {
        "audience": audience or SegmentAverage(),
        "monitor": SequentialMonitor(),
        "orchestrator": orchestrator or RuleBook(),
    }


def pacing_knobs(knobs: Knobs) -> PacingKnobs:
    """Those of the knobs that are a pacer's."""
    return PacingKnobs(**{name: knobs[name] for name in PacingKnobs._fields if name in knobs})


def desk_of(
    knobs: Knobs,
    estimator: Estimator,
    pacer: Pacer | None = None,
    *,
    shades: bool | None = None,
    tells_credit: bool = False,
) -> CampaignDesk:
    """A desk with a team's knobs; `exploration` is its estimator's."""
    own = {name: value for name, value in knobs.items() if name != "exploration"}
    return CampaignDesk(DeskKnobs.of(**own), estimator, pacer, shades=shades, tells_credit=tells_credit)


def filter_desk(
    knobs: Knobs,
    arm_prior: ArmPrior | None = None,
    *,
    reads_listeners: bool = False,
    tells_credit: bool = False,
) -> CampaignDesk:
    """A desk with a Bayesian filter that learns from counts, or from single impressions."""
    belief = ImpressionBelief if reads_listeners else KalmanBelief
    return desk_of(knobs, belief(knobs["exploration"], arm_prior=arm_prior), tells_credit=tells_credit)


def value_desk(knobs: Knobs, pacer: Pacer | None = None, *, shades: bool | None = None) -> CampaignDesk:
    """Value-aware's desk: the immediate value of an impression, by ratios of what was seen to the brief."""
    own = {name: knobs[name] for name in (*PacingKnobs._fields, "price_sd", "shading_sd") if name in knobs}
    fixed = {"recall_price": 0.0, "funnel_price": 0.0, "fatigue_price": 0.0}
    return desk_of(own | fixed, RatioBelief(knobs["exploration"]), pacer, shades=shades)


def _random(knobs: Knobs) -> dict[str, Policy]:
    return {**_common(), "monitor": QuietMonitor(), "creative": RandomCreative(), "bidding": RandomBidding()}


def _pid(knobs: Knobs) -> dict[str, Policy]:
    creative = RotatingCreative(
        "rotate", *(knobs[k] for k in ("rotation_intervals", "long", "early", "reach"))
    )
    bidding = PacedBidding(MultiplicativePacer(pacing_knobs(knobs)), "pid", knobs["frequency_damping"])
    return {**_common(orchestrator=RuleBook(rotate=True)), "creative": creative, "bidding": bidding}


def _siloed(knobs: Knobs) -> dict[str, Policy]:
    """Each agent minds its own: the creative maximises engagement, the bidder buys affinity."""
    desk = value_desk(knobs, Pacer(knobs["creative_dual"]))
    bidding = PacedBidding(
        MultiplicativePacer(pacing_knobs(knobs)), "adaptive-dual", knobs["frequency_damping"]
    )
    common = _common(orchestrator=RuleBook(rotate=True))
    return {**common, "creative": DeskCreative(desk, "thompson"), "bidding": bidding}


def _value_aware(knobs: Knobs) -> dict[str, Policy]:
    desk = value_desk(knobs)
    return {**_common(), "creative": DeskCreative(desk, "thompson"), "bidding": DeskBidding(desk, "value")}


def _shadow_price(knobs: Knobs) -> dict[str, Policy]:
    desk = desk_of(knobs, RatioBelief(knobs["exploration"]))
    return {
        **_common(),
        "creative": DeskCreative(desk, "thompson"),
        "bidding": DeskBidding(desk, "shadow-price"),
    }


def _certainty_equivalent(knobs: Knobs) -> dict[str, Policy]:
    return {**_common(), **_on_desk(filter_desk(knobs), "certainty-equivalent")}


def _listener_aware(knobs: Knobs) -> dict[str, Policy]:
    roles = _on_desk(filter_desk(knobs, reads_listeners=True), "listener-aware")
    return {**_common(audience=CollaborativeAudience()), **roles}


def _on_desk(desk: CampaignDesk, name: str) -> dict[str, Policy]:
    return {"creative": DeskCreative(desk, name), "bidding": DeskBidding(desk, name)}


def _oracle(knobs: Knobs) -> dict[str, Policy]:
    desk = desk_of(knobs, TrueResponse())
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
    "random": TeamSpec("random creatives and bids", MODEL_FREE, _random, {}),
    "pid": TeamSpec(
        "PID pacing of affinity bids, creatives by rotation",
        MODEL_FREE,
        _pid,
        {**PACING, "integral": Knob(0.0, 0.1, 0.02), **_DAMPING, **_ROTATION},
    ),
    "siloed": TeamSpec(
        "T0: adaptive dual pacing of affinity bids, Thompson sampling of creatives, grants by turns",
        PART_MODEL_AWARE,
        _siloed,
        {**_VALUE, **_DAMPING, "creative_dual": Knob(0.2, 30.0, 2.0, log=True)},
    ),
    "value-aware": TeamSpec(
        "T1: bids on the creative's immediate value", PART_MODEL_AWARE, _value_aware, _VALUE
    ),
    "shadow-price": TeamSpec(
        "T2: T1 with shadow prices of recall and fatigue", PART_MODEL_AWARE, _shadow_price, _SHADOW
    ),
    "certainty-equivalent": TeamSpec(
        "CE: Bayesian filter over hidden responses, then the oracle's rule on its mean",
        MODEL_AWARE,
        _certainty_equivalent,
        _SHADOW,
    ),
    "listener-aware": TeamSpec(
        "CE that reads single impressions: its audience learns who answers, its desk what answered",
        MODEL_AWARE,
        _listener_aware,
        _SHADOW,
    ),
    "oracle": TeamSpec(
        "T3: T2's rule with the true responses (evaluation only)", PRIVILEGED, _oracle, _SHADOW
    ),
}
