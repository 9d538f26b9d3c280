"""One evaluation of a study: a team on a course, named by all that its figures depend on, kept as a file."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from envs.output import plain, write_json
from envs.paths import ROOT
from envs.state import Float
from evaluation.rollout import Course, play, play_with_workers
from evaluation.sources import REFERENCE, TeamSource

_CODE: Final = (
    "envs/*.py",
    "envs/calibration/**/*",
    "policies/*.py",
    "configs/baselines/*.json",
    "evaluation/rollout.py",
    "evaluation/sources.py",
    "evaluation/metric*.py",
)
"""Files whose content decides what a team scores: code, price tables, tuned knobs."""


def digest(*parts: Any) -> str:
    """Sixteen hexadecimal digits over anything that JSON can hold."""
    return hashlib.sha256(json.dumps(plain(parts), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Played:
    """What a team did in one evaluation."""

    metrics: dict[str, Float]
    """[markets] every KPI by its tag."""
    knowledge: str
    learned_roles: tuple[str, ...]
    incapacities: int
    """How often a role failed and its stand-in took over, counted by batch."""


Results = Mapping[str, Mapping[str, Mapping[str, Played]]]
"""By scenario, variant and run: a run is called by its training seed, its path or the team's name."""


@dataclass(frozen=True)
class EvaluationUnit:
    """A team on a course."""

    argument: str
    """TEAM, as `interlude evaluate` takes it; what it names must exist by the time of `key`."""
    course: Course
    sample: bool = False

    @cached_property
    def key(self) -> str:
        """Names the evaluation by the team, its files' contents, the markets and the code that plays."""
        course = self.course
        scenario = course.scenario.model_dump(mode="json", exclude={"description"})
        markets = [scenario, course.split, course.seed, course.first_market, course.num_markets]
        return digest(list(_contents(self.argument)), self.sample, markets, _code_digest())

    def load(self, directory: Path) -> Played | None:
        """What was kept of it; None where there is nothing, or nothing whole."""
        try:
            kept = json.loads(self._file(directory).read_text(encoding="utf-8"))
            metrics = {tag: np.array(values, np.float64) for tag, values in kept["metrics"].items()}
            played = Played(metrics, kept["knowledge"], tuple(kept["learned_roles"]), kept["incapacities"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        whole = metrics and all(values.shape == (self.course.num_markets,) for values in metrics.values())
        return played if whole else None

    def play(self, directory: Path, pool: Executor | None = None) -> Played:
        """Plays it and keeps what came of it: the whole file appears at once or not at all."""
        source = TeamSource(self.argument, self.sample)
        entrant = source.resolve()
        if pool is None:
            result = play(entrant.team, self.course)
        else:
            result = play_with_workers(pool, source, self.course)
        played = Played(result.metrics, entrant.knowledge, entrant.learned_roles, len(result.incapacities))
        about = replace(self.course, scenario=self.course.scenario.name, taste_pool=None)  # type: ignore[arg-type]
        write_json(self._file(directory), {"team": self.argument, "course": about, **vars(played)})
        return played

    def _file(self, directory: Path) -> Path:
        return directory / f"{self.key}.json"


def _contents(argument: str) -> Iterator[str]:
    """A TEAM's parts, folders and the user's own modules by what is in them, other names as they are."""
    for part in re.split(r"\+(?=\w+=)", argument):
        role, _, source = part.rpartition("=")
        yield role
        folder = ROOT / "checkpoints" / REFERENCE if source == REFERENCE else Path(source)
        module, colon, _ = source.partition(":")
        if folder.is_dir():
            run = folder / "config.yaml"  # what training leaves beside the policies decides nothing
            files = [run, *(folder / "policies").rglob("*")] if run.is_file() else list(folder.rglob("*"))
            yield _files_digest(folder, files)
        else:
            yield source
        if colon and (spec := importlib.util.find_spec(module)) and spec.origin:
            yield _files_digest(Path(spec.origin).parent, [Path(spec.origin)])


def _files_digest(folder: Path, files: list[Path]) -> str:
    told = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        told.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        told.update(path.read_bytes())
    return told.hexdigest()


@cache
def _code_digest() -> str:
    return _files_digest(
        ROOT, [path for pattern in _CODE for path in ROOT.glob(pattern) if "__pycache__" not in path.parts]
    )
