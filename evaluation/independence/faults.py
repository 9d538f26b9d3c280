"""Faults of a role in mid-flight, as they happen to processes that serve agents."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from envs.impressions import ImpressionLog
from policies.policy import Flight, Policy, reads_listeners

DEADLINE_SECONDS = 10.0
"""After which an answer counts as late: far beyond what any role takes, on a busy machine too."""


@dataclass(frozen=True)
class Fault:
    """One way to fail."""

    description: str
    spoil: Callable[[Any], Any]
    """What becomes of a good answer."""
    stood_in_for: bool = True
    """Whether the stand-in takes over: not where the role is there, and has only forgotten."""


def _raises(answer: Any) -> Any:
    raise RuntimeError("the agent has crashed")


def _filled(answer: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(answer, tuple):
        return type(answer)(*(change(array) for array in answer))
    return change(answer)


def _not_a_number(answer: Any) -> Any:
    return _filled(answer, lambda array: np.full(np.shape(array), np.nan))


def _out_of_space(answer: Any) -> Any:
    return _filled(answer, lambda array: np.asarray(array) + 1000)


def _late(answer: Any) -> Any:
    time.sleep(DEADLINE_SECONDS + 0.1)
    return answer


LATE, STUCK, RESTART = "late", "stuck output", "restart"
FAULTS: Final[dict[str, Fault]] = {
    "exception": Fault("raises", _raises),
    "NaN": Fault("answers with numbers that are none", _not_a_number),
    "silence": Fault("answers nothing", lambda answer: None),
    LATE: Fault(f"answers after more than {DEADLINE_SECONDS:g} s", _late),
    "out of space": Fault("answers beyond every bound", _out_of_space),
    STUCK: Fault("repeats its first answer to the flight's end", lambda answer: answer),
    RESTART: Fault(
        "forgets everything in mid-flight, and goes on as if it had just begun",
        lambda answer: answer,
        stood_in_for=False,
    ),
}


class FaultyPolicy:
    """A good policy that fails from one interval on, in a process that counts its answers, or does not."""

    def __init__(self, policy: Policy, fault: str, at: int, *, counts: bool = True) -> None:
        """`fault` is a key of `FAULTS`, `at` the interval; `counts` whether anybody counts answers."""
        self.policy, self.fault, self.at, self.counts = policy, fault, at, counts
        self.name, self.privileged = policy.name, policy.privileged

    @property
    def reads_listeners(self) -> bool:
        """As the policy itself."""
        return reads_listeners(self.policy)

    def read_impressions(self, impressions: ImpressionLog) -> None:
        """Hands them on."""
        if self.reads_listeners:
            self.policy.read_impressions(impressions)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        """What the policy says beside its action."""
        return getattr(self.policy, name)

    @property
    def answered(self) -> int | None:
        """Answers since the policy's start; None where nobody counts."""
        return self._answered if self.counts else None

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._flight, self._interval, self._first, self._answered = flight, 0, None, 0
        self.policy.start(flight)

    def act(self, observation: Any) -> Any:
        """The policy's answer, until it fails."""
        failing = self._interval >= self.at
        if self.fault == RESTART and self._interval == self.at:
            self.policy.start(replace(self._flight))  # another object: a desk takes the same for no start
            self._answered = 0
        self._interval += 1
        if self.fault == STUCK and failing:
            return self._first
        answer = self.policy.act(observation)
        self._answered += 1
        if self._first is None:
            self._first = answer
        return FAULTS[self.fault].spoil(answer) if failing else answer
