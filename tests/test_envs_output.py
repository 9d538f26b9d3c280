import dataclasses
import json
import os
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pydantic import BaseModel

from envs.errors import InterludeError
from envs.output import check_writable, emit, format_table, plain, write_json, write_text_atomically


class Point(NamedTuple):
    x: float
    y: float


class Model(BaseModel):
    a: int = 1


@dataclasses.dataclass
class Record:
    path: Path
    points: list[Point]


def test_values_become_plain_json() -> None:
    value = {
        "array": np.array([[1.0, np.nan]]),
        "scalar": np.float32(0.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "infinite": float("inf"),
        "record": Record(Path("a/b"), [Point(1.0, 2.0)]),
        "model": Model(),
        3: (1, 2),
    }
    assert plain(value) == {
        "array": [[1.0, None]],
        "scalar": 0.5,
        "count": 3,
        "flag": True,
        "infinite": None,
        "record": {"path": "a/b", "points": [{"x": 1.0, "y": 2.0}]},
        "model": {"a": 1},
        "3": [1, 2],
    }
    with pytest.raises(TypeError, match="JSON cannot hold object"):
        plain(object())


def test_a_file_is_written_whole_with_its_folders(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "result.json"
    write_json(target, {"spend_usd": 1.5})
    assert json.loads(target.read_text()) == {"spend_usd": 1.5}
    write_text_atomically(target, "other")
    assert target.read_text() == "other"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file_and_no_scraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InterludeError, match=r"cannot write .*result\.json: No space left on device"):
        write_text_atomically(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_write_leaves_no_scraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text_atomically(tmp_path / "result.json", "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [lambda path: write_text_atomically(path, "x"), check_writable])
def test_an_impossible_path_is_named(tmp_path: Path, write: object) -> None:
    assert callable(write)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InterludeError, match=r"cannot write .*file/below"):
        write(tmp_path / "file" / "below")
    with pytest.raises(InterludeError, match=f"cannot write {tmp_path}"):
        write(tmp_path)


def test_writable_paths_pass(tmp_path: Path) -> None:
    for path in (None, "-", tmp_path / "a" / "b.json", os.devnull):
        check_writable(path)


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    write_text_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"

    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_text_atomically(pipe, "through")
    reader.join(timeout=10)
    assert received == ["through"]
    assert pipe.is_fifo()


def test_json_on_the_terminal_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emit({"a": 1}, "a table", "-")
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    emit({"a": 1}, "a table", str(tmp_path / "a.json"))
    assert capsys.readouterr().out == "a table\n"
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    emit({"a": 1}, "a table")
    assert capsys.readouterr().out == "a table\n"


def test_tables_align() -> None:
    table = format_table(("name", "n"), [("a", 1), ("longer", 22)])
    assert table == "name    n\n------  --\na       1\nlonger  22"
    assert format_table(("name",), []) == "name\n----"
