"""What campaigns make of alerts: they hold back while one of fraud is new, and learn nothing of what lies."""

import numpy as np
from support.evidence import evidence

from envs.catalogue import ALERT_KINDS, P
from policies.evidence import Evidence
from policies.heeding import HELD_BACK, believable, caution, untracked

QUIET, FRAUD, OUTAGE, SURGE = (
    ALERT_KINDS.index(name) for name in ("none", "invalid_traffic", "tracking_outage", "rival_surge")
)


def told(*kinds: int) -> Evidence:
    rows = np.array([kinds], float)
    assert rows.shape == (1, P)
    return evidence(1)._replace(alert_kind=rows)


def test_bids_are_held_back_only_while_an_alert_of_fraud_is_new() -> None:
    quiet, alerted = told(QUIET, QUIET, SURGE), told(FRAUD, QUIET, SURGE)
    np.testing.assert_array_equal(caution(quiet, alerted), [[HELD_BACK, 1.0, 1.0]])
    np.testing.assert_array_equal(caution(None, alerted), [[HELD_BACK, 1.0, 1.0]])
    np.testing.assert_array_equal(caution(alerted, alerted), np.ones((1, P)))
    np.testing.assert_array_equal(caution(alerted, quiet), np.ones((1, P)))


def test_feedback_of_a_placement_full_of_robots_is_not_believed() -> None:
    rng = np.random.default_rng(0)
    now = told(OUTAGE, FRAUD, SURGE)
    counts = ("wins", "predicted_won", "completions", "skips", "clicks")
    now = now._replace(**{name: rng.uniform(1.0, 9.0, getattr(now, name).shape) for name in counts})
    found = believable(now)
    for name in counts:
        assert (getattr(found, name)[:, :, 1] == 0.0).all()
        np.testing.assert_array_equal(getattr(found, name)[:, :, [0, 2]], getattr(now, name)[:, :, [0, 2]])
    np.testing.assert_array_equal(found.spend_usd, now.spend_usd)  # the money is gone all the same


def test_a_loss_of_tracking_is_no_loss_of_listeners() -> None:
    np.testing.assert_array_equal(untracked(told(QUIET, OUTAGE, FRAUD)), [[False, True, False]])
