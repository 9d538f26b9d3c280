"""Run directories: who may write, when it is told that nobody can, and what a crash leaves behind."""

import errno
import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from envs.errors import InterludeError
from interlude import app
from tests.support.runs import a_scenario
from training import run_directory
from training.configuration import TrainingConfiguration
from training.run_directory import BusyDirectoryError, RunDirectory, locked


@pytest.fixture
def configuration(tmp_path: Path) -> TrainingConfiguration:
    return TrainingConfiguration(name="tiny", scenario=str(a_scenario(tmp_path)))


def test_a_directory_that_cannot_be_written_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.session

    def never(*arguments: object, **settings: object) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(training.session.Session, "train", never)
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        told = CliRunner().invoke(app, ["train", "--run-dir", str(place)])
        assert told.exit_code == 1
        assert told.stderr.startswith(f"error: cannot write {place}: ")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    told = CliRunner().invoke(app, ["train", "--run-dir", str(taken)])
    assert (told.exit_code, "not empty (thesis.txt)" in told.stderr) == (1, True)
    assert [path.name for path in taken.iterdir()] == ["thesis.txt"]


def test_two_processes_do_not_share_a_run_and_a_killed_one_leaves_no_lock(
    configuration: TrainingConfiguration, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    told, ready = os.pipe()
    process = os.fork()
    if process == 0:
        held = RunDirectory.create(path, configuration)
        os.write(ready, b"!")
        signal.pause()
        held.close()
        os._exit(1)
    os.read(told, 1)
    try:
        with pytest.raises(BusyDirectoryError, match="another process is training in this"):
            RunDirectory.reopen(path, [])
        with pytest.raises(InterludeError, match="already holds a run"):
            RunDirectory.create(path, configuration)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    run = RunDirectory.reopen(path, [])
    assert run.configuration == configuration
    run.close()
    locked(path).close()


def test_a_log_that_cannot_grow_is_told(
    configuration: TrainingConfiguration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory.create(tmp_path / "run", configuration)
    run.append_progress({"iteration": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(run_directory.os, "fsync", full)
        with pytest.raises(InterludeError, match=r"cannot write .*progress\.jsonl: No space left on device"):
            run.append_progress({"iteration": 2})
    run.close()


def test_a_line_cut_short_is_dropped_with_all_that_a_resumed_run_logs_again(
    configuration: TrainingConfiguration, tmp_path: Path
) -> None:
    run = RunDirectory.create(tmp_path / "run", configuration)
    run.rewind_progress(3)  # nothing yet
    for iteration in (1, 2, 3):
        run.append_progress({"iteration": iteration})
    with run.progress_file.open("a") as file:
        file.write('{"iteration": 4, "kp')
    run.rewind_progress(2)
    assert [json.loads(line) for line in run.progress_file.read_text().splitlines()] == [
        {"iteration": 1},
        {"iteration": 2},
    ]
    run.close()


@pytest.mark.parametrize("damage", ["", "{", "[1"])
def test_a_damaged_manifest_is_named(
    damage: str, configuration: TrainingConfiguration, tmp_path: Path
) -> None:
    RunDirectory.create(tmp_path / "run", configuration).close()
    (tmp_path / "run" / "manifest.json").write_text(damage)
    with pytest.raises(InterludeError, match=r"manifest\.json is damaged or missing"):
        RunDirectory.reopen(tmp_path / "run", [])
