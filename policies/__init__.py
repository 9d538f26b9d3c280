"""Who acts: the policy protocol, scripted roles, belief filter, networks, team runner, export and runtime.

`load_team` gives the team of an exported bundle. Importing this package alone loads neither torch, numba
nor onnxruntime.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.team import Team


def load_team(bundle: str | Path, *, verify: bool = True) -> Team:
    """The team of a bundle that `interlude export` wrote: it needs neither torch nor ray.

    Args:
        bundle: the bundle's directory.
        verify: whether to run golden pairs through desk and networks first.

    Raises:
        InterludeError: a file is missing or damaged, the bundle was made for other observations, or it
            does not reproduce its golden pairs; the file, both schemas or the output are named.
    """
    from policies.bundle import open_bundle

    return open_bundle(bundle, verify=verify).team()


__all__ = ["load_team"]
