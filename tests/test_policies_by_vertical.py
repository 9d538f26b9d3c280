import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.flights import flight
from support.markets import leaves, started, tiny

from envs.catalogue import ADVICE, ALERT_KINDS, VERTICALS, S
from envs.errors import ConfigurationError
from envs.observation import Observation
from envs.protocol import Alert, CreativeAlert, quiet_board
from policies import registry
from policies.by_vertical import verticals_of
from policies.policy import Flight
from policies.propensity import log_propensities
from policies.registry import forget_tuned, make_team, tuned_knobs

SCENARIO = tiny(intervals=8, opportunities_per_interval=48, campaigns=3)


@pytest.fixture(autouse=True)
def tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Knobs of shadow-price for two verticals, and global ones."""
    (tmp_path / "baselines").mkdir()
    own = {"retail": {"knobs": {"initial_dual": 9.0}}, "finance": {"knobs": {"initial_dual": 0.5}}}
    stored = {"knobs": {"initial_dual": 2.0, "step": 0.111}, "verticals": own}
    (tmp_path / "baselines" / "shadow-price.json").write_text(json.dumps(stored))
    monkeypatch.setattr(registry, "configs_directory", lambda: tmp_path)
    forget_tuned()
    yield
    forget_tuned()


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_a_brief_tells_its_vertical(split: str) -> None:
    market = started(SCENARIO, 40, split=split)  # type: ignore[arg-type]
    told = verticals_of(market.reset(market.seeds).bidding)
    np.testing.assert_array_equal(told, market.brief.vertical)


def test_a_verticals_knobs_stand_over_the_global_ones() -> None:
    assert tuned_knobs("shadow-price")["initial_dual"] == 2.0
    assert tuned_knobs("shadow-price", "retail")["initial_dual"] == 9.0
    assert tuned_knobs("shadow-price", "retail")["step"] == 0.111
    assert tuned_knobs("shadow-price", "travel") == tuned_knobs("shadow-price")


def test_every_campaign_has_the_knobs_of_its_vertical() -> None:
    team = make_team("shadow-price@vertical")
    bidder = team.policies["bidding"]
    moment = next(flight(team, SCENARIO, 30, split="held_out"))
    vertical = moment.market.brief.vertical.reshape(-1)
    expected = {"retail": 9.0, "finance": 0.5}
    seen = set()
    for name, rows in bidder.split.rows.items():  # type: ignore[attr-defined]
        pacer = bidder.policies[name].desk.pacer  # type: ignore[attr-defined]
        for dual, row in zip(pacer.dual, rows, strict=True):
            assert dual == expected.get(VERTICALS[vertical[row]], 2.0)
            seen.add(row)
    assert seen == set(range(90))


def test_equal_knobs_bid_as_the_global_team_does_without_draws() -> None:
    still = {"exploration": 0.0, "initial_dual": 2.0}
    whole, split = (
        list(flight(make_team(f"shadow-price{end}", still), SCENARIO, 6)) for end in ("", "@vertical")
    )
    for one, other in zip(whole, split, strict=True):
        np.testing.assert_array_equal(one.actions.bidding, other.actions.bidding)
        np.testing.assert_array_equal(one.actions.creative, other.actions.creative)


def test_a_market_is_played_alike_alone_and_again() -> None:
    team = make_team("shadow-price@vertical")
    whole, again = (list(flight(team, SCENARIO, 4)) for _ in range(2))
    alone = list(flight(make_team("shadow-price@vertical"), SCENARIO, 1, first=2))
    for one, twin, part in zip(whole, again, alone, strict=True):
        for a, b, c in zip(leaves(one.actions), leaves(twin.actions), leaves(part.actions), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a[2:3], c)


def test_propensities_are_those_of_the_parts() -> None:
    for exploration, told in ((0.0, 0.0), (1.0, np.nan)):
        team = make_team("shadow-price@vertical", {"exploration": exploration})
        for _ in flight(team, SCENARIO, 2):
            found = log_propensities(team)
            assert found["creative"].shape == (2, 3, S)
            np.testing.assert_array_equal(found["creative"], told)
            np.testing.assert_array_equal(found["bidding"], np.zeros((2, 3)))


def test_misuse_is_named() -> None:
    with pytest.raises(ConfigurationError, match="run interlude tune-baselines pid --per-vertical"):
        make_team("pid@vertical")


def test_every_campaign_hears_its_own_credit() -> None:
    scenario = tiny(intervals=17, intervals_per_day=4, campaigns=3, journeys={"people": 16})
    team = make_team("shadow-price@vertical", attribution="linear")
    said = [moment.actions.credit for moment in flight(team, scenario, 6, split="held_out")]
    told = said[-2]  # heard an interval later
    assert told is not None and told.touches.any()
    split = team.policies["bidding"]
    for name, rows in split.split.rows.items():  # type: ignore[attr-defined]
        heard = split.policies[name].desk.credited._credit  # type: ignore[attr-defined]
        market, campaign = np.divmod(rows, 3)
        for field, own in zip(told, heard, strict=True):
            np.testing.assert_array_equal(field[market, campaign], own[:, 0])


class Names:
    """Advises to pause the first creative of every campaign whose number is odd."""

    name, privileged = "names", False
    creative_alert: CreativeAlert | None = None

    def start(self, flight: Flight) -> None:
        self.quiet = quiet_board(flight.num_markets, flight.num_campaigns)

    def act(self, observation: Observation) -> Alert:
        said = self.quiet.creative_alert._replace(
            advice=self.quiet.creative_alert.advice.copy(), kind=self.quiet.creative_alert.kind.copy()
        )
        said.advice[:, 1::2, 0] = ADVICE.index("pause")
        said.kind[:, 1::2, 0] = ALERT_KINDS.index("dislike_surge")
        self.creative_alert = said
        return self.quiet.alert


def test_every_campaign_hears_of_its_own_creatives() -> None:
    scenario = tiny(intervals=4, campaigns=3)
    team = make_team("shadow-price@vertical")
    team = replace(team, policies={**team.policies, "monitor": Names()})
    *_, last = flight(team, scenario, 6, split="held_out")
    split = team.policies["creative"]
    for name, rows in split.split.rows.items():  # type: ignore[attr-defined]
        shunned = split.policies[name].desk._avoided  # type: ignore[attr-defined]
        np.testing.assert_array_equal(shunned[:, 0], rows % 3 == 1)
        assert not shunned[:, 1:].any()
    assert (last.actions.creative[:, 1, :, 1] != 0).all() and (last.actions.creative[:, ::2, :, 1] == 0).any()
