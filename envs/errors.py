"""Errors that teach: what is wrong, where, the value, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name most like `name`, or None when none is near."""
    folded = {choice.casefold(): choice for choice in valid}
    match = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[match[0]] if match else None


class InterludeError(Exception):
    """A fault the user can mend: the command line prints its message without a traceback."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(InterludeError):
    """A configuration or an argument that is malformed: misuse, exit code 2."""

    exit_code: ClassVar[int] = 2


class UnknownNameError(ConfigurationError):
    """A name nobody registered; the message lists the valid ones and the nearest."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        """Keep the parts, so that the error survives pickling (Ray sends it between processes)."""
        self.kind, self.name, self.valid = kind, name, tuple(valid)
        super().__init__(kind, name, self.valid)

    def __str__(self) -> str:
        """What was asked for, the nearest valid name, and all of them."""
        match = nearest(self.name, self.valid)
        hint = f": did you mean {match!r}?" if match else "."
        choices = ", ".join(self.valid) if self.valid else "(none)"
        return f"unknown {self.kind} {self.name!r}{hint} Valid names: {choices}"
