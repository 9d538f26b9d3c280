"""docs/watchdog.md is written from docs/watchdog.json, and its figures are those of the kinds there are."""

import json

import pytest

from evaluation.watchdog.report import text
from interlude import HOME
from policies.watchdog.signals import KINDS
from policies.watchdog.thresholds import FALSE_ALARMS_PER_CAMPAIGN_WEEK

FOUND = json.loads((HOME / "docs" / "watchdog.json").read_text(encoding="utf-8"))


def test_the_report_is_that_of_its_figures() -> None:
    assert (HOME / "docs" / "watchdog.md").read_text(encoding="utf-8") == text(FOUND)


def test_every_kind_was_tried_at_the_rate_that_is_set() -> None:
    assert {*FOUND["kinds"]} == {*KINDS}
    assert FOUND["false_alarms_per_campaign_week_set"] == FALSE_ALARMS_PER_CAMPAIGN_WEEK
    low, high = FOUND["all_kinds"]["false_alarms_interval"]
    assert low <= FALSE_ALARMS_PER_CAMPAIGN_WEEK  # no more than were allowed, as far as can be told
    assert high >= 0.75 * FALSE_ALARMS_PER_CAMPAIGN_WEEK  # and not far fewer: thresholds were not just raised


@pytest.mark.parametrize("kind", KINDS)
def test_recall_lies_within_its_interval(kind: str) -> None:
    one = FOUND["kinds"][kind]
    low, high = one["recall_interval"]
    assert low <= one["recall"] <= high
