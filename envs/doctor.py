"""Is this machine and installation sound? Each check answers ok, a warning, or broken, and says why."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final, Literal, NamedTuple

from envs.paths import ROOT, configs_directory, data_directory

GIB: Final = 1024**3
PYTHON: Final = (3, 11)
PACKAGES: Final = ("envs", "policies", "evaluation", "training", "serving")
LOCK: Final = "requirements.lock"
IMPORTS: Final = ("numba", "torch", "ray")
FREE_MEMORY_GIB: Final = 2.0
FREE_DISK_GIB: Final = 1.0


class Check(NamedTuple):
    """One question about the machine and its answer."""

    name: str
    status: Literal["ok", "warning", "broken"]
    detail: str


def examine() -> list[Check]:
    """Run every check; none raises, so that one fault does not hide the next."""
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("python", python_version),
        ("packages", package_ownership),
        ("configs", configs),
        ("versions", locked_versions),
        ("imports", heavy_imports),
        ("threads", threads),
        ("memory", free_memory),
        ("disk", free_disk),
        ("numba cache", numba_cache),
        ("real data", real_data),
    ]
    return [_run(name, check) for name, check in checks]


def python_version() -> Check:
    """Python 3.11, which the locked versions are built for."""
    found = sys.version.split()[0]
    if sys.version_info[:2] == PYTHON:
        return Check("python", "ok", f"{found} at {sys.executable}")
    return Check("python", "broken", f"{found}; Interlude needs {PYTHON[0]}.{PYTHON[1]}: run `make install`")


def package_ownership() -> Check:
    """`envs` and its neighbours are ours: another distribution on PyPI installs `envs` too."""
    foreign = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found = list(spec.submodule_search_locations or []) if spec else []
        ours = [Path(folder).resolve() for folder in found] == [ROOT / name]
        if (ROOT / name / "__init__.py").is_file() and not ours:
            foreign.append(f"{name} is {', '.join(found) or 'not importable'}")
    if foreign:
        return Check("packages", "broken", f"{'; '.join(foreign)}; ours are in {ROOT}: run `make install`")
    return Check("packages", "ok", f"ours, in {ROOT}")


def configs() -> Check:
    """The configurations lie beside the packages."""
    return Check("configs", "ok", f"{sum(1 for _ in configs_directory().rglob('*.yaml'))} files")


def locked_versions() -> Check:
    """Installed versions against the lock file; a build tag such as +cpu does not count."""
    lock = ROOT / LOCK
    if not lock.is_file():
        return Check("versions", "warning", f"no {LOCK} beside the packages to compare with")
    missing, different = [], []
    for line in lock.read_text(encoding="utf-8").splitlines():
        name, pinned, version = line.partition("==")
        if not pinned or name.startswith("#"):
            continue
        try:
            installed = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed != version.strip():
            different.append(f"{name} {installed} (locked {version.strip()})")
    if missing:
        return Check("versions", "broken", f"not installed: {', '.join(missing)}; run `make install`")
    if different:
        return Check("versions", "warning", f"other than locked: {', '.join(different)}")
    return Check("versions", "ok", f"as in {LOCK}")


def heavy_imports() -> Check:
    """The compiled libraries load; in a process of their own, for a crash in one is an answer too."""
    faults = []
    for name in IMPORTS:
        run = subprocess.run(
            [sys.executable, "-c", f"import {name}"], capture_output=True, text=True, timeout=120, check=False
        )
        if run.returncode:
            reason = (run.stderr.strip().splitlines() or [f"exit {run.returncode}"])[-1]
            faults.append(f"{name}: {reason}")
    if faults:
        return Check("imports", "broken", "; ".join(faults))
    return Check("imports", "ok", f"{', '.join(IMPORTS)} load")


def threads() -> Check:
    """Cores this process may use, and the thread counts that libraries will start with."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = {name: os.environ.get(name, "unset") for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    detail = f"{cores} cores; {', '.join(f'{name} {value}' for name, value in limits.items())}"
    return Check("threads", "ok", detail)


def free_memory() -> Check:
    """Memory that a training run can still take."""
    available = _available_memory_bytes()
    if available is None:
        return Check("memory", "warning", "free memory is unknown on this system")
    free_gib = available / GIB
    status: Literal["ok", "warning"] = "ok" if free_gib >= FREE_MEMORY_GIB else "warning"
    return Check("memory", status, f"{free_gib:.1f} GiB free; training asks for {FREE_MEMORY_GIB:g}")


def free_disk() -> Check:
    """Room for run directories, in the folder where commands run."""
    free_gib = shutil.disk_usage(Path.cwd()).free / GIB
    status: Literal["ok", "warning"] = "ok" if free_gib >= FREE_DISK_GIB else "warning"
    return Check("disk", status, f"{free_gib:.1f} GiB free in {Path.cwd()}")


def numba_cache() -> Check:
    """Compiled kernels can be kept; otherwise every process compiles them again."""
    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or ROOT / "envs" / "__pycache__")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        detail = f"{cache}: {error.strerror or error}; set NUMBA_CACHE_DIR to a folder that can be written"
        return Check("numba cache", "warning", detail)
    return Check("numba cache", "ok", f"{cache} can be written")


def real_data() -> Check:
    """The folder of real samples: optional, tests and commands that read it say so."""
    directory = data_directory()
    found = "present" if directory.is_dir() else "absent (optional; INTERLUDE_DATA_DIR names another)"
    return Check("real data", "ok", f"{directory} {found}")


def _run(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # whatever the fault, the other checks still answer
        return Check(name, "broken", f"{type(error).__name__}: {error}")


def _available_memory_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
