"""A run's directory: what lies where, who may write to it, and how its log grows.

| path | holds |
|---|---|
| `config.yaml` | the resolved configuration |
| `manifest.json` | versions, git commit, observation schema, seed |
| `progress.jsonl` | one line an iteration |
| `tensorboard/` | event files |
| `policies/` | actors, observable critic and their manifest: all that evaluation and export need |
| `audience/` | the model of listeners that the base team's audience agent uses, if it uses one |
| `checkpoint/`, `checkpoint.previous/` | all that `--resume` needs, and the one before |
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from envs.configuration import apply_overrides, load_yaml, validate
from envs.errors import InterludeError
from envs.observation import schema_hash
from envs.output import plain, write_json, write_text_atomically
from envs.paths import ROOT
from policies.weights import check_schema
from training.configuration import TrainingConfiguration

LOCK: Final = ".lock"
LIBRARIES: Final = ("numpy", "numba", "torch", "ray", "gymnasium", "pettingzoo")


class BusyDirectoryError(InterludeError):
    """Another process holds the directory's lock."""


def default_directory(configuration: TrainingConfiguration) -> Path:
    """`checkpoints/{scenario}__{name}__{hash}__s{seed}__{utc}`."""
    utc = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scenario = Path(configuration.scenario).stem
    name = f"{scenario}__{configuration.name}__{configuration.hash}__s{configuration.seed}__{utc}"
    return ROOT / "checkpoints" / name


class RunDirectory:
    """An open run directory: locked against a second run until `close`."""

    def __init__(self, path: Path, configuration: TrainingConfiguration) -> None:
        """Use `create` or `reopen`."""
        self.path, self.configuration = path, configuration
        self._lock = locked(path)

    @classmethod
    def create(cls, path: Path, configuration: TrainingConfiguration) -> RunDirectory:
        """A new run in a directory that is empty or does not exist.

        Raises:
            InterludeError: the directory holds something, cannot be written, or another run has it.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            found = sorted(entry.name for entry in path.iterdir() if entry.name != LOCK)
        except OSError as error:
            raise InterludeError(f"cannot write {path}: {error.strerror or error}") from error
        if "config.yaml" in found:
            raise InterludeError(f"{path} already holds a run: continue it with --resume, or choose another")
        if found:
            raise InterludeError(
                f"{path} is not empty ({', '.join(found[:3])}): a run wants its own directory"
            )
        run = cls(path, configuration)
        write_text_atomically(path / "config.yaml", configuration.to_yaml())
        write_json(path / "manifest.json", _manifest(configuration))
        return run

    @classmethod
    def reopen(cls, path: Path, overrides: list[str]) -> RunDirectory:
        """An earlier run, to be continued with its own configuration, overridden where asked.

        Raises:
            InterludeError: no run is there, another process trains it, or the observations have changed.
        """
        if not (path / "config.yaml").is_file():
            raise InterludeError(f"{path} holds no run to resume (no config.yaml)")
        settings = apply_overrides(load_yaml(path / "config.yaml"), overrides)
        configuration = validate(TrainingConfiguration, settings, str(path / "config.yaml"))
        try:
            manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InterludeError(f"{path / 'manifest.json'} is damaged or missing: {error}") from error
        check_schema(str(manifest.get("schema_hash")), path)
        run = cls(path, configuration)
        write_text_atomically(path / "config.yaml", configuration.to_yaml())
        return run

    @property
    def progress_file(self) -> Path:
        """One JSON object a line, one line an iteration."""
        return self.path / "progress.jsonl"

    def append_progress(self, record: Mapping[str, Any]) -> None:
        """Adds an iteration's line, on disk when this returns.

        Raises:
            InterludeError: the disk is full, or the file cannot be written for another reason.
        """
        line = json.dumps(plain(record), allow_nan=False) + "\n"
        try:
            with self.progress_file.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InterludeError(f"cannot write {self.progress_file}: {error.strerror or error}") from error

    def rewind_progress(self, iteration: int) -> None:
        """Drops what was logged after an iteration: a resumed run logs it again."""
        if not self.progress_file.exists():
            return
        kept = []
        for line in self.progress_file.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["iteration"] <= iteration:
                    kept.append(line + "\n")
            except (ValueError, KeyError):  # a line cut short by a crash
                break
        write_text_atomically(self.progress_file, "".join(kept))

    def close(self) -> None:
        """Lets others have the directory."""
        self._lock.close()


def locked(path: Path) -> Any:
    """An open file that holds a directory's lock; the system lets go of it when the process ends."""
    try:
        file = (path / LOCK).open("w")
    except OSError as error:
        raise InterludeError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise BusyDirectoryError(f"{path}: another process is training in this directory") from error
    return file


def _manifest(configuration: TrainingConfiguration) -> dict[str, Any]:
    return {
        "kind": "interlude-run",
        "name": configuration.name,
        "scenario": configuration.scenario,
        "learned_roles": list(configuration.learned_roles),
        "seed": configuration.seed,
        "configuration_hash": configuration.hash,
        "schema_hash": schema_hash(),
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "started_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def git_commit() -> str | None:
    """The checkout's commit, `-dirty` where files differ from it; None outside a repository."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None
