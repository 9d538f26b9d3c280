"""What past campaigns taught of creatives that no brief tells, by verticals: an empirical-Bayes prior.

Briefs give a vertical's averages of audience, format and script. What is beyond them (which script works at
which length, in which format) campaigns of a vertical have partly in common. Training measures it once
against the simulator's truth (`training/arm_prior.py`); a filter then starts each flight from it instead
of from the brief alone, and from the brief where a vertical is like none that was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from envs import catalogue as cat
from envs.state import Float
from policies.evidence import Evidence

TRUST_DISTANCE: Final = 0.35
"""Distance of a brief to the nearest known one at which trust in it has fallen to exp(−½); in spreads of the
known briefs, root mean square over their numbers."""


@dataclass(frozen=True)
class ArmPrior:
    """Known briefs, and for each of them the mean log effect of every arm beyond the brief; n briefs."""

    brief: Float  # [n, Q] by `brief_vector`
    effect: Float  # [n, S, K] mean log response beyond the brief, centred over arms
    variance: float
    """Of a campaign's own effects around its vertical's."""
    unknown_variance: float
    """The same where the vertical is not known: the verticals' spread on top."""
    common: float = 0.0
    """What of the variance a campaign's segments have in common, so that one tells of the others."""
    unknown_common: float = 0.0
    """The same where the vertical is not known: verticals differ by nearly the same in all segments."""

    def expect(self, now: Evidence) -> tuple[Float, Float, Float]:
        """Mean [M, S, K] of arms' log effects beyond the brief, variance and covariance over segments [M]."""
        seen = brief_vector(now)
        spread = np.maximum(1e-3, self.brief.std(0))
        apart = (((seen[:, None] - self.brief) / spread) ** 2).mean(-1)  # [M, n]
        nearest = apart.argmin(1)
        trust = np.exp(-0.5 * apart[np.arange(len(seen)), nearest] / TRUST_DISTANCE**2)
        return (
            trust[:, None, None] * self.effect[nearest],
            self.variance + (1.0 - trust) * (self.unknown_variance - self.variance),
            self.common + (1.0 - trust) * (self.unknown_common - self.common),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back bit for bit."""
        return {
            "brief": self.brief.tolist(),
            "effect": self.effect.tolist(),
            **{name: getattr(self, name) for name in (*_VARIANCES, *_COMMON)},
        }

    @classmethod
    def from_json(cls, data: Any) -> ArmPrior:
        """A prior from plain data; one from before segments told of one another has nothing in common.

        Raises:
            ValueError: a part is missing, of the wrong shape, or not finite; it is named.
        """
        try:
            brief, effect = (np.array(data[name], np.float64) for name in ("brief", "effect"))
            variances = [float(data[name]) for name in _VARIANCES]
            common = [float(data.get(name, 0.0)) for name in _COMMON]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not an arm prior: {error!r}") from error
        if brief.ndim != 2 or brief.shape[1] != BRIEF_SIZE or not len(brief):
            raise ValueError(f"arm prior: brief has shape {brief.shape}, expected (n, {BRIEF_SIZE})")
        if effect.shape != (len(brief), cat.S, cat.K):
            raise ValueError(
                f"arm prior: effect has shape {effect.shape}, expected {(len(brief), cat.S, cat.K)}"
            )
        if not (np.isfinite(brief).all() and np.isfinite(effect).all() and min(variances) > 0.0):
            raise ValueError("arm prior: numbers must be finite and variances above 0")
        if not all(0.0 <= c < v for c, v in zip(common, variances, strict=True)):
            raise ValueError("arm prior: what segments have in common must be from 0 to below the variance")
        return cls(brief, effect, *variances, *common)


_VARIANCES: Final = ("variance", "unknown_variance")
_COMMON: Final = ("common", "unknown_common")
BRIEF_SIZE: Final = cat.S * (1 + cat.F + cat.V) + 4


def brief_vector(now: Evidence) -> Float:
    """[M, Q] the numbers of a campaign's brief: all that says what kind of campaign it is."""
    rows = len(now.budget_usd)
    scalars = (now.brief_wear_out, now.brief_recall_decay, now.brief_conversion, now.brief_recall)
    by_segment = (now.brief_log_affinity, now.brief_log_format, now.brief_log_script)
    vector: Float = np.concatenate([*(x.reshape(rows, -1) for x in by_segment), np.stack(scalars, -1)], -1)
    return vector


def beyond_additive(log_response: Float) -> Float:
    """Log responses [..., K] without their level and the additive effects of format and script."""
    one_hot = [np.eye(size)[cat.ARMS[:, column]] for column, size in ((0, cat.F), (1, cat.V))]
    design = np.concatenate(one_hot, 1)  # [K, F + V]
    fitted = design @ np.linalg.pinv(design)
    rest: Float = log_response - log_response @ fitted.T
    return rest
