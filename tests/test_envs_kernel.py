from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

from envs import kernel as house
from envs.kernel import COMPILED_FROM, SOURCE_DIGEST, kernel
from envs.listeners import update_listeners
from envs.paths import ROOT
from policies.audience.taste_belief import learn_impressions


@kernel
def _divide(a, b):  # type: ignore[no-untyped-def]
    return a / b


def test_a_kernel_divides_like_numpy_and_keeps_its_python() -> None:
    assert np.isinf(_divide(1.0, 0.0))
    assert _divide.py_func(3.0, 2.0) == _divide(3.0, 2.0) == 1.5


def test_a_cached_kernel_is_dropped_when_any_source_of_kernels_changes(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert update_listeners._cache._cache_file._source_stamp == SOURCE_DIGEST == house._digest()
    for name in COMPILED_FROM:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_bytes((ROOT / "envs" / f"{name}.py").read_bytes())
    monkeypatch.setattr(house, "__file__", str(tmp_path / "kernel.py"))
    assert house._digest() == SOURCE_DIGEST
    with (tmp_path / "response.py").open("a") as file:
        file.write("CLICK_RATE = 1.0\n")
    assert house._digest() != SOURCE_DIGEST


def test_a_kernel_of_another_package_is_dropped_when_one_that_it_may_call_changes(tmp_path: Path) -> None:
    stamp = learn_impressions._cache._cache_file._source_stamp
    assert stamp == house._stamp(ROOT / "policies") != SOURCE_DIGEST
    (tmp_path / "plain.py").write_text("A = 1\n")
    (tmp_path / "caller.py").write_text("from envs.kernel import kernel\n")
    called = tmp_path / "called.py"
    stamps = []
    for source in ("", "B = 2\n"):
        called.write_text(f"from envs.kernel import kernel\n{source}")
        house._stamp.cache_clear()
        stamps.append(house._stamp(tmp_path))
    (tmp_path / "plain.py").write_text("A = 2\n")
    house._stamp.cache_clear()
    assert stamps[0] != stamps[1] == house._stamp(tmp_path)


def test_every_module_that_kernels_read_is_stamped() -> None:
    needed = set()
    for path in (ROOT / "envs").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        if not any(node.module == "envs.kernel" for node in imported):
            continue
        needed.add(path.relative_to(ROOT / "envs").with_suffix("").as_posix())
        for node in imported:
            if node.module == "envs":
                needed |= {alias.name for alias in node.names}
    assert needed <= {*COMPILED_FROM}, f"add {needed - {*COMPILED_FROM}} to COMPILED_FROM"
