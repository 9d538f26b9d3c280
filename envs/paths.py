"""Where the project's own files are: Interlude runs from its checkout (an editable install)."""

from __future__ import annotations

import os
from pathlib import Path

from envs.errors import InterludeError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the folder that holds `interlude.py`, `envs/` and `configs/`."""


def configs_directory() -> Path:
    """The folder of scenarios and of training and evaluation configurations.

    Raises:
        InterludeError: it is not beside the packages, as after a plain (not editable) install.
    """
    directory = ROOT / "configs"
    if not directory.is_dir():
        raise InterludeError(
            f"{directory} does not exist: Interlude finds its configurations beside its packages, so it is "
            "installed from a checkout with `make install` (or `pip install --editable .`)"
        )
    return directory


def data_directory() -> Path:
    """The folder of real samples: `INTERLUDE_DATA_DIR`, by default `../shared/data`; it may not exist."""
    return Path(os.environ.get("INTERLUDE_DATA_DIR") or ROOT.parent / "shared" / "data")
