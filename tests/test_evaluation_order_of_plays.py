import numpy as np
from support.markets import tiny

from evaluation.order_of_plays import KNOWN, RANGES, mood_told, order_text, taste_explained
from policies.audience.readout import draw_year

SCENARIO = tiny(listeners={"count": 256, "plays_median": 30.0})


def test_more_plays_tell_more_and_skips_tell_something() -> None:
    learned, judged = (draw_year(SCENARIO, seed, 12) for seed in (1, 2))
    found = taste_explained(learned, judged)
    assert list(found) == list(KNOWN) and all(len(shares) == len(RANGES) for shares in found.values())
    plays, votes = found["plays"], found["plays and votes"]
    assert (np.diff(plays) > 0).all() and plays[-1] > 0.7
    assert votes[1:3].mean() > plays[1:3].mean()


def test_a_state_tells_moods_better_than_chance() -> None:
    learned, judged = (draw_year(SCENARIO, seed, 12) for seed in (1, 2))
    assert 0.27 < mood_told(learned, judged) < 1.0


def test_the_section_names_what_is_known() -> None:
    text = order_text(SCENARIO, 4)
    assert all(f"| {known} |" in text for known in KNOWN) and "by chance" in text
