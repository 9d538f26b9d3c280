"""Who is better: rollouts, metrics, intervals, clairvoyant bound, baselines' tuning, reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envs.seeds import Split
    from evaluation.compare import Comparison, Watch
    from policies.team import Team

DEFAULT_EPISODES = 256


def evaluate(
    teams: Sequence[str | Team],
    scenario: str = "default",
    split: Split = "held_out",
    episodes: int = DEFAULT_EPISODES,
    seed: int = 0,
    *,
    baseline: str = "shadow-price",
    sample: bool = False,
    workers: int = 1,
    absolute: bool = False,
    listening_history: str | Path | None = None,
    event_log: str | Path | None = None,
    watch: Watch | None = None,
) -> Comparison:
    """Compares teams on the same markets (common random numbers).

    Args:
        teams: scripted teams' names, run directories, bundles, `reference`, `scripted` (all of them),
            `BASE+role=SOURCE`, `NAME=RUN,RUN,...` for the training runs of a method, or `Team` objects. The
            baseline and `siloed` take part in any case.
        scenario: name in `configs/scenarios`, or a YAML file.
        split: `train`, `development` or `held_out` markets.
        episodes: how many markets; each is one flight.
        seed: of the sequence of markets.
        baseline: the team against which lifts are shown.
        sample: whether learned policies sample their actions instead of taking the likeliest.
        workers: processes; above 1 the caller's module needs an `if __name__ == "__main__"` guard.
        absolute: whether the leading team is played again, on ten times the markets.
        listening_history: folder of a real listening history whose tastes the listeners get.
        event_log: folder into which every flight is logged, a run a team; new or empty.
        watch: is told team names and how many markets they have played.

    Returns:
        Standings with figures per market, paired intervals and headline results; `.as_json()` is plain.

    Raises:
        UnknownNameError: an unknown team, scenario or split; the valid names are listed.
    """
    from envs.scenario import load_scenario
    from evaluation.compare import compare
    from evaluation.rollout import Course, listening_tastes

    tastes = None if listening_history is None else listening_tastes(Path(listening_history))
    log = None if event_log is None else Path(event_log)
    course = Course(load_scenario(scenario), split, seed, episodes, taste_pool=tastes, event_log=log)
    return compare(
        teams, course, baseline=baseline, sample=sample, workers=workers, absolute=absolute, watch=watch
    )


__all__ = ["DEFAULT_EPISODES", "evaluate"]
