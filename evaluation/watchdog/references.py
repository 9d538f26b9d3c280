"""Detectors of well-kept libraries on the watchdog's own signals: what a benchmark compares with.

`river` (ADWIN, Page-Hinkley) reads as the flight goes; `ruptures` (PELT) reads whole flights afterwards, and
so says what hindsight would find. Neither is needed to run anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np

from envs.errors import InterludeError
from envs.state import Bool, Float
from evaluation.watchdog.calibration import Streams, alarms
from evaluation.watchdog.study import recall
from policies.watchdog.monitor import DETECTORS
from policies.watchdog.signals import SCOPE, Signal

Finder = Callable[[Float, float], list[int]]
"""Intervals of one place's residuals [T] at which changes are told, at a setting: the larger, the fewer."""
_LIMIT: Final = 20.0
"""Residuals are cut here: none of the libraries expects heavy tails."""


def library(name: str) -> Any:
    """One of the two libraries.

    Raises:
        InterludeError: it is not installed; the command that installs it is told.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InterludeError(
            f"{name} is not installed, with which the watchdog is compared: "
            "pip install 'interlude[watchdog-references]'"
        ) from error


def residuals(kind: str, signal: Signal) -> Float:
    """[T, B, places] standardised, upwards as the kind's detector watches; 0 where nothing is known."""
    detector: Any = DETECTORS[kind]()
    change = getattr(detector, "ratio", getattr(detector, "least", 2.0))
    rises = getattr(detector, "rises", change > 1.0)
    known = signal.expected > 0.0
    usual = np.where(known, signal.expected, 1.0)
    sd = np.sqrt(detector.dispersion * usual + usual**2 / getattr(detector, "gamma", np.inf))
    off = np.where(known, (signal.observed - signal.expected) / sd, 0.0)
    found: Float = np.clip(off if rises else -off, -_LIMIT, _LIMIT)
    return found


def page_hinkley(series: Float, setting: float) -> list[int]:
    """River's Page-Hinkley test, of rises; `setting` is its threshold."""
    detector = library("river.drift").PageHinkley(
        min_instances=3, delta=0.25, threshold=setting, alpha=0.99, mode="up"
    )
    return _online(detector, series)


def adwin(series: Float, setting: float) -> list[int]:
    """River's ADWIN with confidence delta = e^−setting, looking at every interval."""
    detector = library("river.drift").ADWIN(
        delta=float(np.exp(-setting)), clock=1, min_window_length=2, grace_period=4
    )
    return _online(detector, series)


def _online(detector: Any, series: Float) -> list[int]:
    found = []
    for t, value in enumerate(series):
        detector.update(float(value))
        if detector.drift_detected:
            found.append(t)
    return found


def pelt(series: Float, setting: float) -> list[int]:
    """Ruptures' PELT with squared errors; `setting` is the penalty of a change. Rises only, in hindsight.

    `KernelCPD` with the linear kernel is the same search, compiled.
    """
    search = library("ruptures").KernelCPD(kernel="linear", min_size=2, jump=1)
    cut = [int(edge) for edge in search.fit(series.reshape(-1, 1)).predict(pen=setting)]
    edges = [0, *cut]
    means = [series[a:b].mean() for a, b in pairwise(edges)]
    return [edge for edge, low, high in zip(cut[:-1], means[:-1], means[1:], strict=True) if high > low]


REFERENCES: Final[Mapping[str, tuple[Finder, tuple[float, ...]]]] = {
    "river Page-Hinkley": (page_hinkley, (3.0, 5.0, 8.0, 12.0, 18.0, 27.0, 40.0, 60.0)),
    "river ADWIN": (adwin, (0.7, 1.5, 3.0, 5.0, 8.0, 12.0, 18.0, 27.0)),
    "ruptures PELT (hindsight)": (pelt, (4.0, 8.0, 14.0, 22.0, 35.0, 60.0, 100.0, 180.0)),
}
"""Detectors by name, with the settings that are tried, the most sensitive first."""


def begun(finder: Finder, series: Float, setting: float) -> Float:
    """[T, B, places] 1 where a change is told."""
    told = np.zeros(series.shape)
    for b in range(series.shape[1]):
        for place in range(series.shape[2]):
            one = series[:, b, place]
            if one.any():
                told[finder(one, setting), b, place] = 1.0
    return told


def score(
    kind: str,
    ours: float,
    streams: tuple[Streams, Streams, Streams],
    where: Bool,
    rate: float,
    campaigns: int,
    weeks: float,
) -> dict[str, tuple[float, float]]:
    """Recall and false alarms in a campaign and week of every reference and of ours, on the same signals.

    Args:
        kind: of incident.
        ours: the watchdog's threshold.
        streams: of clean flights to set each reference by, clean flights to count on, and struck flights.
        where: [T, B, places] where incidents struck.
        rate: false alarms in a campaign and week that each may raise on the flights it is set by.
        campaigns: of a flight.
        weeks: that a flight lasts.
    """
    tuned, counted, hit = (residuals(kind, part[kind]) for part in streams)
    found = {
        "ours": (
            recall(alarms(kind, streams[2][kind], ours), where),
            _rate(kind, alarms(kind, streams[1][kind], ours), campaigns, weeks),
        )
    }
    for name, (finder, settings) in REFERENCES.items():
        kept = settings[-1]
        for setting in settings:
            if _rate(kind, begun(finder, tuned, setting), campaigns, weeks) <= rate:
                kept = setting
                break
        found[name] = (
            recall(begun(finder, hit, kept), where),
            _rate(kind, begun(finder, counted, kept), campaigns, weeks),
        )
    return found


def _rate(kind: str, told: Float, campaigns: int, weeks: float) -> float:
    """A campaign's false alarms a week; those of placements and of the market reach every campaign."""
    campaigns = campaigns if SCOPE[kind] == "campaign" else 1
    return float(told.sum() / (told.shape[1] * campaigns * weeks))
