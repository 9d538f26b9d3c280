"""Tunes scripted teams on training markets, so that no learned team is compared with a straw man.

A seeded search over a team's knobs: uniform draws first, then mostly draws around the best found so far.
All trials of a search meet the same markets. The search doubles until doubling it gained less than
`DOUBLING_GAIN`; what it found is then checked against the knobs it started from on other training markets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from envs.errors import ConfigurationError, UnknownNameError
from envs.output import plain, write_json
from envs.paths import ROOT, configs_directory
from envs.scenario import Scenario, load_scenario
from envs.state import Float
from evaluation.intervals import Interval, over_markets
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, play
from policies.registry import forget_tuned, knob_space, make_team, tuned_knobs
from policies.specs import Knob

GENERATION: Final = 8
"""Trials proposed together; a proposal depends on earlier generations alone, not on the workers."""
FIRST: Final = GENERATION
"""Trials that are uniform draws before any refinement; afterwards every fourth is."""
DOUBLING_GAIN: Final = 0.002
MINIMUM: Final = 128
"""Trials before a search may call itself converged: 32 draws in 5 to 10 dimensions prove nothing."""
_DIGITS = 5

Knobs = dict[str, float]
Watch = Callable[[str, int, float], None]
"""Is told the search's name, how many trials were made, and the best score so far."""


@dataclass(frozen=True)
class Trial:
    """Knobs and what they scored."""

    knobs: Knobs
    objective_usd: tuple[float, ...]
    """Mean J over the markets of each scenario."""


@dataclass(frozen=True)
class Search:
    """What is searched, and where."""

    team: str
    scenarios: tuple[str, ...] = ("default",)
    vertical: str | None = None
    """Campaigns are all of this vertical, and the knobs found are its own; None searches for all."""
    seed: int = 0
    markets: int = 64
    """Training markets of each scenario that every trial meets."""
    max_trials: int = 256

    def __post_init__(self) -> None:
        """Checks the names and the numbers."""
        if not knob_space(self.team):
            raise ConfigurationError(f"team {self.team!r} has no knobs to tune")
        for scenario in self._loaded():
            if self.vertical is not None and self.vertical not in scenario.verticals:
                raise UnknownNameError(
                    f"trained vertical of scenario {scenario.name}", self.vertical, scenario.verticals
                )
        if self.max_trials < 2 * FIRST:
            raise ConfigurationError(f"max_trials must be at least {2 * FIRST}, got {self.max_trials}")

    def courses(self, seed: int, markets: int) -> list[Course]:
        """Training markets of every scenario."""
        narrow = {} if self.vertical is None else {"verticals": (self.vertical,)}
        return [
            Course(scenario.model_copy(update=narrow), "train", seed, markets, min(markets, 64))
            for scenario in self._loaded()
        ]

    @property
    def name(self) -> str:
        """How progress and tables call it."""
        return self.team if self.vertical is None else f"{self.team}, {self.vertical}"

    def _loaded(self) -> list[Scenario]:
        return [load_scenario(name) for name in self.scenarios]

    def fingerprint(self) -> str:
        """Names the search's state: two searches that share it make the same trials."""
        parts = [self.team, self.seed, self.markets, {n: asdict(k) for n, k in knob_space(self.team).items()}]
        parts += [] if self.vertical is None else [self.vertical]
        parts += [scenario.model_dump() for scenario in self._loaded()]
        return hashlib.sha256(json.dumps(plain(parts), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    `configs/baselines/<team>.json` holds this, and under `verticals` the same of each vertical.
    """

    team: str
    knobs: Knobs
    improved: bool
    """Whether the found knobs beat those before on markets the search never saw; else those stay."""
    objective_before_usd: tuple[float, ...]
    objective_after_usd: tuple[float, ...]
    lift_fraction: tuple[Interval, ...]
    """By scenario, over the validation markets."""
    doubling_gain_fraction: float
    """What the last doubling of the search gained on the markets searched."""
    converged: bool
    """Whether that was below `DOUBLING_GAIN`, after at least `MINIMUM` trials."""
    trials: int
    search: Search
    validation_markets: int
    validation_seed: int


def tune(
    search: Search,
    *,
    state_directory: Path | None = None,
    pool: Executor | None = None,
    watch: Watch | None = None,
) -> Tuned:
    """Searches a team's knobs; a search that was broken off goes on where it stopped.

    Args:
        search: what to search.
        state_directory: where trials are kept, by default `checkpoints/tuning`.
        pool: workers that share the trials of a generation.
        watch: is told of progress.
    """
    space = knob_space(search.team)
    directory = state_directory or ROOT / "checkpoints" / "tuning"
    part = "" if search.vertical is None else f"-{search.vertical}"
    state = directory / f"{search.team}{part}-{search.fingerprint()}.json"
    courses = search.courses(search.seed, search.markets)
    before = _rounded(tuned_knobs(search.team, search.vertical))
    first = _try(search.team, before, courses)
    trials = _resumed(state, first)
    size, gain = 4 * FIRST, np.inf
    while True:
        while len(trials) < size:
            proposals = [propose(space, trials, search.seed, len(trials) + i) for i in range(GENERATION)]
            proposals = proposals[: size - len(trials)]
            trials += _try_all(pool, search.team, proposals, courses)
            write_json(state, {"trials": trials})
            if watch is not None:
                watch(search.name, len(trials), max(scores(trials)))
        gain = max(scores(trials[:size])) / max(scores(trials[: size // 2])) - 1.0
        if _converged(gain, size) or size >= search.max_trials:
            break
        size = min(2 * size, search.max_trials)
    best = trials[int(np.argmax(scores(trials[:size])))]
    return _validated(search, before, best.knobs, gain, size)


def shared_verticals(scenarios: Sequence[str]) -> tuple[str, ...]:
    """Verticals that all of the scenarios train on."""
    found = [load_scenario(name).verticals for name in scenarios]
    return tuple(vertical for vertical in found[0] if all(vertical in other for other in found))


def scores(trials: Sequence[Trial]) -> list[float]:
    """Score of every trial: mean over scenarios of J relative to the first trial's."""
    scale = np.maximum(1.0, np.abs(trials[0].objective_usd))
    return [float((np.array(trial.objective_usd) / scale).mean()) for trial in trials]


def propose(space: Mapping[str, Knob], trials: Sequence[Trial], seed: int, index: int) -> Knobs:
    """Knobs of trial `index`: uniform at first and every fourth time, else around the best so far.

    Around means: about half of the knobs (at least one) move by a normal step, whose size as a share of
    the knob's range is drawn log-uniformly from [.02, .3]; steps beyond the range are reflected.
    """
    rng = np.random.default_rng([seed, index])
    names = list(space)
    if index < FIRST or index % 4 == 0:
        unit = rng.random(len(names))
    else:
        best = trials[int(np.argmax(scores(trials)))].knobs
        unit = np.array([_to_unit(space[name], best[name]) for name in names])
        moved = rng.random(len(names)) < 0.5
        moved[rng.integers(len(names))] = True
        size = np.exp(rng.uniform(np.log(0.02), np.log(0.3)))
        unit = _reflected(unit + moved * size * rng.standard_normal(len(names)))
    knobs = _rounded({name: _from_unit(space[name], u) for name, u in zip(names, unit, strict=True)})
    return {name: min(max(value, space[name].low), space[name].high) for name, value in knobs.items()}


def store(tuned: Tuned) -> Path:
    """Writes `configs/baselines/<team>.json`, which `policies.registry` reads from then on.

    What it holds of other verticals, or of all, stays as it is.
    """
    path = configs_directory() / "baselines" / f"{tuned.team}.json"
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    by_vertical = kept.pop("verticals", {})
    vertical = tuned.search.vertical
    if vertical is None:
        kept = plain(tuned)
    else:
        by_vertical = dict(sorted({**by_vertical, vertical: plain(tuned)}.items()))
    write_json(path, {**kept, "verticals": by_vertical} if by_vertical else kept)
    forget_tuned()
    return path


def _converged(gain: float, trials: int) -> bool:
    return bool(gain < DOUBLING_GAIN and trials >= MINIMUM)


def _validated(search: Search, before: Knobs, after: Knobs, gain: float, trials: int) -> Tuned:
    """Compares knobs before and after on training markets that the search never met."""
    seed, markets = search.seed + 1, 4 * search.markets
    old = [_objective(search.team, before, course) for course in search.courses(seed, markets)]
    new = [_objective(search.team, after, course) for course in search.courses(seed, markets)]
    gains = [(n.mean() - o.mean()) / max(1.0, abs(o.mean())) for n, o in zip(new, old, strict=True)]
    improved = bool(np.mean(gains) > 0.0)
    return Tuned(
        team=search.team,
        knobs=after if improved else before,
        improved=improved,
        objective_before_usd=tuple(float(o.mean()) for o in old),
        objective_after_usd=tuple(float(o.mean()) for o in (new if improved else old)),
        lift_fraction=tuple(over_markets(n, o) for n, o in zip(new, old, strict=True)),
        doubling_gain_fraction=float(gain),
        converged=_converged(gain, trials),
        trials=trials,
        search=search,
        validation_markets=markets,
        validation_seed=seed,
    )


def _objective(team: str, knobs: Knobs, course: Course) -> Float:
    """J of every market: [num_markets]."""
    return play(make_team(team, knobs), course).metrics[OBJECTIVE]


def _try(team: str, knobs: Knobs, courses: Sequence[Course]) -> Trial:
    return Trial(knobs, tuple(float(_objective(team, knobs, course).mean()) for course in courses))


def _try_all(
    pool: Executor | None, team: str, proposals: Sequence[Knobs], courses: Sequence[Course]
) -> list[Trial]:
    if pool is None:
        return [_try(team, knobs, courses) for knobs in proposals]
    futures = [pool.submit(_try, team, knobs, courses) for knobs in proposals]
    return [future.result() for future in futures]


def _resumed(state: Path, first: Trial) -> list[Trial]:
    """Trials kept from an earlier start, unless the world has changed since: then the first alone."""
    try:
        kept: list[dict[str, Any]] = json.loads(state.read_text(encoding="utf-8"))["trials"]
        trials = [Trial(trial["knobs"], tuple(trial["objective_usd"])) for trial in kept]
    except (OSError, ValueError, KeyError, TypeError):
        return [first]
    return trials if trials[:1] == [first] else [first]


def _rounded(knobs: Mapping[str, float]) -> Knobs:
    """What is stored is what was tried."""
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in knobs.items()}


def _from_unit(knob: Knob, unit: float) -> float:
    low, high = (np.log(knob.low), np.log(knob.high)) if knob.log else (knob.low, knob.high)
    value = low + unit * (high - low)
    return float(np.exp(value) if knob.log else value)


def _to_unit(knob: Knob, value: float) -> float:
    if knob.log:
        return float(np.log(value / knob.low) / np.log(knob.high / knob.low))
    return (value - knob.low) / (knob.high - knob.low)


def _reflected(unit: Float) -> Float:
    """Back into [0, 1] by reflection at its ends."""
    folded = np.abs(unit) % 2.0
    return np.where(folded > 1.0, 2.0 - folded, folded)
