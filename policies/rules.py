"""Rules of the literature for one role, by name: as good as tuning makes them, on value-aware's values.

Every bidding rule prices what value-aware prices (the immediate value of the creative on air) and differs
in pacing alone; its sources are in `policies.pacing_rules`, `policies.shading`, `policies.scripted_bidding`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from policies.audience.engagement import EngagementAudience
from policies.audience.taste_belief import Noise
from policies.pacing import MultiplicativePacer, Pacer
from policies.pacing_rules import (
    AdaptivePacer,
    AuctionNetPacer,
    CostPerActionPacer,
    LinearProgramPacer,
)
from policies.policy import Policy
from policies.scripted_bidding import DeskBidding, ThrottledBidding
from policies.scripted_creative import BanditCreative, BanditRule, RoundRobinCreative
from policies.specs import MODEL_FREE, PACING, PART_MODEL_AWARE, Knob, Knobs, RuleSpec
from policies.teams import pacing_knobs, value_desk

_DUAL: Final = {name: PACING[name] for name in ("initial_dual", "tilt")}
_PRICES: Final = {"price_sd": Knob(0.3, 1.5, 0.85)}


def _paced(name: str, pacer: Callable[[Knobs], Pacer]) -> Callable[[Knobs], Policy]:
    def build(knobs: Knobs) -> Policy:
        return DeskBidding(value_desk(knobs, pacer(knobs)), name)

    return build


def _first_price(knobs: Knobs) -> Policy:
    return DeskBidding(value_desk(knobs, shades=True), "first-price-dual")


def _throttling(knobs: Knobs) -> Policy:
    throttle = MultiplicativePacer(pacing_knobs({**knobs, "initial_dual": 1.0}))
    return ThrottledBidding(value_desk(knobs, Pacer(knobs["initial_dual"])), throttle)


def _bandit(rule: BanditRule) -> Callable[[Knobs], Policy]:
    def build(knobs: Knobs) -> Policy:
        return BanditCreative(
            rule, knobs.get("arm_exploration", 1.0), knobs["reach"], knobs["click_completions"]
        )

    return build


def _engagement(knobs: Knobs) -> Policy:
    noise = Noise(knobs["taste_variance"], knobs["intercept_variance"], knobs["impression_variance"])
    return EngagementAudience(noise, knobs["steepness"])


_BANDIT: Final = {"reach": Knob(-0.5, 1.0, 0.2), "click_completions": Knob(10.0, 5000.0, 200.0, log=True)}
_EXPLORATION: Final = {"arm_exploration": Knob(0.02, 3.0, 0.3, log=True)}

RULES: Final[dict[str, RuleSpec]] = {
    "engagement": RuleSpec(
        "audience",
        MODEL_FREE,
        _engagement,
        {
            "taste_variance": Knob(0.02, 1.0, 0.2, log=True),
            "intercept_variance": Knob(0.05, 2.0, 0.35, log=True),
            "impression_variance": Knob(0.02, 2.0, 0.2, log=True),
            "steepness": Knob(0.2, 2.0, 0.65, log=True),
        },
        "tells listeners apart by who hears ads out: logistic regression on what they play",
    ),
    "truthful": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        lambda k: DeskBidding(value_desk(k, Pacer(1.0), shades=False), "truthful"),
        {},
        "bids the value, unpaced, whatever the market's pricing",
    ),
    "constant": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        _paced("constant", lambda k: Pacer(k["initial_dual"])),
        {"initial_dual": PACING["initial_dual"]},
        "one multiplier on value for all campaigns and intervals",
    ),
    "adaptive-pacing": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        _paced("adaptive-pacing", lambda k: AdaptivePacer(k["initial_dual"], k["adaptive_step"], k["tilt"])),
        {**_DUAL, "adaptive_step": Knob(0.02, 2.0, 0.3, log=True)},
        "adaptive pacing by dual steps (Balseiro & Gur 2019)",
    ),
    "pid-pacing": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        _paced("pid-pacing", lambda k: MultiplicativePacer(pacing_knobs(k))),
        {**PACING, "integral": Knob(0.0, 0.1, 0.02)},
        "PI controller of the multiplier with a warm start",
    ),
    "auctionnet-pid": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        _paced("auctionnet-pid", lambda k: AuctionNetPacer(k["initial_dual"], k["tilt"])),
        _DUAL,
        "AuctionNet's PID: factors 1.2 and .7 on the multiplier",
    ),
    "online-lp": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        _paced("online-lp", lambda k: LinearProgramPacer(k["initial_dual"], k["price_sd"], k["tilt"])),
        {**_PRICES, "tilt": PACING["tilt"]},
        "dual of the linear program of what is left (Agrawal, Wang & Ye 2014)",
    ),
    "first-price-dual": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        _first_price,
        {**PACING, "shading_sd": Knob(0.2, 1.5, 0.7)},
        "shaded bids: argmax (v - dual × b) G(b), whatever the market's pricing",
    ),
    "throttling": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        _throttling,
        PACING,
        "constant bids on a random part of the segments (Karande, Mehta & Srikant 2013)",
    ),
    "two-multiplier": RuleSpec(
        "bidding",
        PART_MODEL_AWARE,
        _paced(
            "two-multiplier",
            lambda k: CostPerActionPacer(pacing_knobs(k), k["cpa_target_fraction"]),
        ),
        {**PACING, "cpa_target_fraction": Knob(0.1, 3.0, 1.0, log=True)},
        "the smaller of a budget's and a cost-per-conversion multiplier (Yang et al. 2019)",
    ),
    "round-robin": RuleSpec(
        "creative", MODEL_FREE, lambda _: RoundRobinCreative(), {}, "every eligible arm by turns"
    ),
    "greedy": RuleSpec(
        "creative", MODEL_FREE, _bandit("greedy"), _BANDIT, "the arm of the highest mean value so far"
    ),
    "linucb": RuleSpec(
        "creative",
        MODEL_FREE,
        _bandit("linucb"),
        {**_BANDIT, **_EXPLORATION},
        "hybrid LinUCB on features of arm × segment (Li et al. 2010)",
    ),
    "value-weighted": RuleSpec(
        "creative",
        MODEL_FREE,
        _bandit("value-weighted"),
        {**_BANDIT, **_EXPLORATION},
        "arms drawn in proportion to a power of their value",
    ),
}
"""Rules by name. With value-aware's other roles, each is a team of the same name."""
