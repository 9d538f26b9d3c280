"""Compiles the kernels that most tests need, by short flights: run before tests run in several processes."""

from __future__ import annotations

from envs.scenario import load_scenario
from evaluation.rollout import Course, play
from policies.registry import make_team

FLIGHTS = (
    ("quick", "oracle", None),
    ("quick", "certainty-equivalent", None),
    ("attribution", "listener-aware", "linear"),
)
"""Scenario, team and attribution model."""


def main() -> None:
    for name, team, attribution in FLIGHTS:
        scenario = load_scenario(name).model_copy(update={"intervals": 2})
        play(make_team(team, attribution=attribution), Course(scenario, "train", num_markets=1))


if __name__ == "__main__":
    main()
