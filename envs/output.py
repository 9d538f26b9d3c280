"""Results on their way out: whole files or none, strict JSON, plain tables."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from envs.errors import InterludeError

JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Write one JSON object to FILE or the terminal."),
]
"""The `--json` option that every command takes."""


def write_text_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` so that a reader finds the old file or the new one, never half of one.

    Missing parent folders are made; a symbolic link keeps pointing where it does; a device or a pipe is
    written to directly.

    Raises:
        InterludeError: the path cannot be written.
    """
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """The same for bytes."""
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(content)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(target.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def check_writable(path: str | os.PathLike[str] | None) -> None:
    """Fail now, and not after an hour's work, when `path` (a file; None and "-" pass) cannot be written.

    Raises:
        InterludeError: the path cannot be written.
    """
    if path is None or str(path) == "-":
        return
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    replaced = target if target.exists() and not target.is_file() else target.parent
    if not os.access(replaced, os.W_OK):
        raise _unwritable(path, PermissionError(13, "Permission denied"))


def check_new_folder(path: str | os.PathLike[str] | None) -> None:
    """Fail now when `path` (None passes) is not a folder that is new or empty, or cannot be written.

    Raises:
        InterludeError: it holds something, is a file or cannot be written.
    """
    if path is None:
        return
    check_writable(Path(path) / "something")
    if any(Path(path).iterdir()):
        raise InterludeError(f"{os.fspath(path)} is not empty: choose a new folder")


def write_json(destination: str | os.PathLike[str], value: object) -> None:
    """Write `value` as strict JSON to a file, atomically, or to standard output when `destination` is "-".

    Arrays, dataclasses, models, paths and named tuples are unfolded; numbers that JSON does not know (NaN,
    infinities) become null.

    Raises:
        InterludeError: the path cannot be written.
    """
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    if str(destination) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text_atomically(destination, text)


def emit(value: object, text: str, json_out: str | None = None) -> None:
    """Hand a command's result to its user: `text` for people, JSON where asked for.

    With `--json -` standard output holds the JSON object and nothing else.
    """
    if json_out != "-":
        typer.echo(text)
    if json_out is not None:
        write_json(json_out, value)


def plain(value: Any) -> Any:
    """`value` as dicts, lists, strings, numbers, booleans and None: what JSON can hold."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    for method in ("model_dump", "tolist"):  # pydantic models; numpy and torch values
        if hasattr(value, method):
            return plain(getattr(value, method)())
    raise TypeError(f"JSON cannot hold {type(value).__name__}: {value!r}")


def format_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain text table with aligned columns; the last column is not padded."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(path: str | os.PathLike[str], error: OSError) -> InterludeError:
    return InterludeError(f"cannot write {os.fspath(path)}: {error.strerror or error}")
