"""Folders of files and a JSON manifest with their SHA-256 sums, whole or not at all; never a pickle.

A folder is written beside its place and renamed into it, so that a reader finds the old one or the new.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from envs.errors import InterludeError

MANIFEST: Final = "manifest.json"
OWN_SUM: Final = "manifest_sha256"
"""Under which a manifest holds the sum of all else that it says."""


class DamagedFileError(InterludeError):
    """A file that is missing, cut short or altered; the message names it."""


def with_manifest(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """A folder's files and the manifest with their SHA-256 sums and its own, as `read_folder` wants them."""
    told = {**manifest, "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}}
    text = json.dumps({**told, OWN_SUM: _own_sum(told)}, indent=2, allow_nan=False) + "\n"
    return {**files, MANIFEST: text.encode()}


def write_folder(
    folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any], *, keep: bool
) -> None:
    """Writes a folder whole or not at all; `manifest` is stored with the files' SHA-256 sums.

    The folder before it becomes `<folder>.previous` (and is removed at the end unless `keep`), so that one
    good folder exists at every moment, also when the disk is full or the process is killed.

    Raises:
        InterludeError: the folder cannot be written.
    """
    new, previous = (folder.with_name(f"{folder.name}.{suffix}") for suffix in ("new", "previous"))
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for name, data in with_manifest(files, manifest).items():
            with (new / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync(new)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
        new.rename(folder)
        _sync(folder.parent)
        if not keep:
            shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise InterludeError(f"cannot write {folder}: {error.strerror or error}") from error


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and files of a folder that `write_folder` wrote, every sum checked.

    Raises:
        DamagedFileError: a file is missing, cut short or altered; it is named.
    """
    manifest = read_manifest(folder)
    files = {}
    for name, expected in manifest["sha256"].items():
        path = folder / name
        data = _read(path)
        if (found := hashlib.sha256(data).hexdigest()) != expected:
            raise DamagedFileError(
                f"{path} is damaged: its SHA-256 is {found[:16]}…, {MANIFEST} says {expected[:16]}… "
                f"({len(data)} bytes)"
            )
        files[name] = data
    return manifest, files


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder; one from before manifests had a sum of their own is taken as it is.

    Raises:
        DamagedFileError: it is missing, altered or not ours.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(_read(path))
        expected = manifest.pop(OWN_SUM, None)
        if expected not in (None, _own_sum(manifest)):
            raise ValueError("what it says does not have the SHA-256 that it gives")
        names = manifest["sha256"]
        if any(Path(name).name != name for name in names):
            raise ValueError("a file name leaves the folder")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path} is damaged: {error}") from error
    return dict(manifest)


def _own_sum(manifest: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(manifest, allow_nan=False))
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path} is missing") from error
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror or error}") from error


def _sync(directory: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
