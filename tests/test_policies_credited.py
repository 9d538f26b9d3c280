from __future__ import annotations

import numpy as np
import pytest
from support.markets import started, tiny

from envs.journeys.settings import ELIGIBLE_CELLS
from envs.protocol import CellCredit
from policies.credited import CREDIT, HIGHEST, LOWEST, SPREAD, CellFactors
from policies.desk import CampaignDesk
from policies.evidence import evidence_of
from policies.policy import flight_of


def heard(rate: float, deviation: float, touches: float = 1000.0) -> CellFactors:
    """One campaign that expected .001 of every cell of audio; the first is credited with `rate`."""
    factors = CellFactors(1)
    factors.shown[:, :, 0] = 1000.0
    factors.expected[:, :, 0] = 1.0
    credit = CellCredit(*(np.zeros((1, 4, 3, 3)) for _ in range(3)), np.zeros((1, 4)))
    credit.touches[0, 0, :, 0] = touches
    credit.conversions_per_touch[0, 0, :, 0] = 0.001
    credit.conversions_per_touch[0, 0, 0, 0] = rate
    credit.deviation[0, 0, :, 0] = deviation
    factors.read(credit)
    return factors


def test_sure_credit_is_believed_and_doubtful_credit_is_not() -> None:
    sure, doubtful = heard(0.003, 1e-6).factors()[0], heard(0.003, 1.0).factors()[0]
    assert sure[0, 0] == pytest.approx(3.0, rel=1e-3)
    assert sure[1, 0] == pytest.approx(1.0, rel=1e-3)
    assert doubtful == pytest.approx(np.ones((3, 3)), abs=1e-3)


def test_cells_that_were_never_shown_have_their_campaigns_factor() -> None:
    factors = heard(0.003, 1e-6).factors()[0]
    assert len({*np.round(factors[:, 1:].ravel(), 12)}) == 1
    assert 1.0 < factors[0, 1] < 3.0


def test_factors_stay_within_reason() -> None:
    assert heard(0.9, 1e-9).factors().max() == HIGHEST
    assert heard(0.0, 1e-9).factors().min() == LOWEST


def test_networks_see_log_ratios_and_how_sure_they_are() -> None:
    assert not CellFactors(2).features().any()
    sure, doubtful = heard(0.003, 1e-6).features()[0], heard(0.003, 0.001).features()[0]
    assert sure.shape == (CREDIT,)
    assert ELIGIBLE_CELLS[0] == 0
    log, known = sure[: CREDIT // 2], sure[CREDIT // 2 :]
    assert log[0] == pytest.approx(np.log(3.0)) and known[0] == pytest.approx(1.0, rel=1e-5)
    assert doubtful[CREDIT // 2] == pytest.approx(SPREAD**2 / (SPREAD**2 + 1.0))
    silent = [n for n, cell in enumerate(ELIGIBLE_CELLS) if cell % 3]  # never shown: only audio was
    assert silent and not log[silent].any() and not known[silent].any()


def test_without_a_message_a_desk_is_as_it_was() -> None:
    desk, market = CampaignDesk(), started(tiny())
    desk.start(flight_of(market))
    desk.advance(market._observations().bidding)
    now = evidence_of(market._observations().bidding)
    estimate = desk.estimator.estimate(now)
    assert desk.credited.applied(estimate, now) is estimate
