"""Who may write: the token of a service's writing endpoints."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from envs.errors import InterludeError


def private_token(folder: Path) -> str:
    """The token for writing endpoints: $INTERLUDE_TOKEN, else one kept in the ledger's folder.

    Raises:
        InterludeError: the file of the token is empty.
    """
    given = os.environ.get("INTERLUDE_TOKEN")
    if given:
        return given
    path = folder / "token"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
    token = path.read_text().strip()
    if not token:  # a process died between making the file and filling it
        raise InterludeError(f"{path} is empty: remove it, or set INTERLUDE_TOKEN")
    return token
