from pathlib import Path

import pytest

import interlude
from envs import paths
from envs.errors import InterludeError


def test_the_root_is_where_the_command_line_lies() -> None:
    assert Path(interlude.__file__).resolve().parent == paths.ROOT == interlude.HOME
    assert (paths.configs_directory() / "scenarios").is_dir()


def test_missing_configurations_say_how_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    with pytest.raises(InterludeError, match="make install"):
        paths.configs_directory()


def test_the_data_directory_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLUDE_DATA_DIR", str(tmp_path))
    assert paths.data_directory() == tmp_path
    monkeypatch.delenv("INTERLUDE_DATA_DIR")
    assert paths.data_directory() == paths.ROOT.parent / "shared" / "data"
