"""What the monitor reads off campaigns' observations is what the market tells it of all of them together."""

from __future__ import annotations

import numpy as np
from support.markets import RandomTeam, started, tiny

from envs.catalogue import ARMS, V
from envs.observation import SCHEMAS
from policies.cell_counts import CellReader
from policies.policy import flight_of

COUNTS = ("wins", "completions", "expected_completions", "skips", "dislikes", "clicks", "expected_clicks")


def test_cells_add_up_to_what_the_monitor_sees() -> None:
    scenario = tiny(
        opportunities_per_interval=120, budget_fraction=0.5, incidents={"incident_probability": 1.0}
    )
    market, team = started(scenario, 3), RandomTeam()
    reader, observations, bought = CellReader(flight_of(market)), market._observations(), 0.0
    for _ in range(scenario.intervals):
        counts = reader.read(observations.creative)
        for name in COUNTS:
            told = SCHEMAS["monitor"].view(observations.monitor[:, 0], name)[:, :2]
            np.testing.assert_allclose(getattr(counts, name).sum(2), told, rtol=1e-5, atol=1e-5, err_msg=name)
        bought += counts.wins.sum()
        by_script = counts.of_scripts(counts.wins)
        np.testing.assert_allclose(by_script.sum(2), counts.wins.sum(2))
        aired = ARMS[counts.arm, 1][..., None] == np.arange(V)
        assert (by_script.sum(3)[~aired.any(2)] == 0.0).all()
        observations = market.step(team(market)).observations
    assert bought > 0.0
