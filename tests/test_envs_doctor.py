import subprocess
import sys
from pathlib import Path

import pytest

from envs import doctor


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    return tmp_path / "requirements.lock"


def test_every_check_answers() -> None:
    checks = doctor.examine()
    assert [check.name for check in checks] == [
        "python",
        "packages",
        "configs",
        "versions",
        "imports",
        "threads",
        "memory",
        "disk",
        "numba cache",
        "real data",
    ]
    assert all(check.status in {"ok", "warning", "broken"} and check.detail for check in checks)


def test_a_check_that_crashes_is_broken_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> doctor.Check:
        raise RuntimeError("boom")

    monkeypatch.setattr(doctor, "configs", crash)
    monkeypatch.setattr(doctor, "IMPORTS", ())
    checks = {check.name: check for check in doctor.examine()}
    assert checks["configs"] == doctor.Check("configs", "broken", "RuntimeError: boom")
    assert checks["python"].status == "ok"


def test_versions_are_held_against_the_lock(lock: Path) -> None:
    assert doctor.locked_versions().status == "warning"
    typer_version = doctor.metadata.version("typer")
    lock.write_text(f"# a comment\ntyper=={typer_version}\n")
    assert doctor.locked_versions().status == "ok"
    lock.write_text("typer==0.0.1\n")
    assert doctor.locked_versions() == doctor.Check(
        "versions", "warning", f"other than locked: typer {typer_version} (locked 0.0.1)"
    )
    lock.write_text("no-such-distribution-anywhere==1.0\n")
    assert doctor.locked_versions().status == "broken"


def test_a_library_that_does_not_load_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "IMPORTS", ("no_such_library",))
    check = doctor.heavy_imports()
    assert check.status == "broken"
    assert "no_such_library" in check.detail


def test_another_python_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PYTHON", (2, 7))
    assert doctor.python_version().status == "broken"


def test_a_package_from_elsewhere_is_broken(lock: Path) -> None:
    (lock.parent / "envs").mkdir()
    (lock.parent / "envs" / "__init__.py").touch()
    check = doctor.package_ownership()
    assert check.status == "broken"
    assert "envs is" in check.detail


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert doctor.numba_cache().status == "warning"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert doctor.numba_cache().status == "ok"


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, status in ((None, "warning"), (1, "warning"), (64 * doctor.GIB, "ok")):
        monkeypatch.setattr(doctor, "_available_memory_bytes", lambda available=available: available)
        assert doctor.free_memory().status == status


def test_importing_the_doctor_loads_nothing_heavy() -> None:
    code = "import sys, envs.doctor; print({'ray', 'torch', 'numba'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=doctor.ROOT
    )
    assert run.stdout.strip() == "set()"
