"""The rules of the house: who may import whom, and what nobody does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from interlude import HOME, PACKAGES

MAY_IMPORT = {
    "envs": set(),
    "policies": {"envs"},
    "evaluation": {"envs", "policies"},
    "training": {"envs", "policies", "evaluation"},
    "serving": {"envs", "policies"},
}
ONLY_IN = {
    "ray": {"training", "serving/ray_app.py"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "gymnasium": {"envs/ad_market_v0.py", "envs/spaces.py"},
    "pettingzoo": {"envs/ad_market_v0.py", "envs/spaces.py"},
}
"""Libraries that belong in some packages or files alone."""
LOADS_NO = {
    "envs": {"ray", "torch", "gymnasium", "pettingzoo"},
    "policies": {"ray", "torch"},
    "evaluation": {"ray", "torch"},
    "serving": {"ray", "torch", "starlette", "onnxruntime"},
}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
MAY_PICKLE: set[str] = set()
"""Files that may import a pickling module; artifacts hold tensors and JSON."""

PRESENT = [name for name in PACKAGES if (HOME / name / "__init__.py").is_file()]
MODULES = sorted(path for name in PACKAGES for path in (HOME / name).rglob("*.py"))
NAMES = [path.relative_to(HOME).as_posix() for path in MODULES]


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All that a file is made of."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[str]:
    """Top-level names of all that a file imports, wherever in it; a relative import counts as its package."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0] if not node.level else path.relative_to(HOME).parts[0]


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_one_way(name: str) -> None:
    package = name.partition("/")[0]
    ours = set(imports(HOME / name)) & {*PACKAGES, "interlude"}
    assert ours <= MAY_IMPORT[package] | {package}


@pytest.mark.parametrize("name", NAMES)
def test_libraries_stay_in_their_rooms(name: str) -> None:
    for library in set(imports(HOME / name)) & ONLY_IN.keys():
        assert {name, name.partition("/")[0]} & ONLY_IN[library], f"{name} imports {library}"


@pytest.mark.parametrize("name", NAMES)
def test_no_module_is_named_like_one_of_the_standard_library(name: str) -> None:
    stem = Path(name).stem
    assert stem == "__init__" or stem not in sys.stdlib_module_names


@pytest.mark.parametrize("name", [*NAMES, "interlude.py"])
def test_nothing_is_pickled_or_evaluated(name: str) -> None:
    used = set(imports(HOME / name))
    assert name in MAY_PICKLE or not used & PICKLES
    for node in nodes(HOME / name):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "compile", "os.system", "torch.load", "yaml.unsafe_load"}
            if called in {"yaml.load", "numpy.load", "np.load"}:
                written = ast.unparse(node)
                assert "allow_pickle=True" not in written
                assert called != "yaml.load" or "Loader=_Loader" in written


@pytest.mark.parametrize("package", sorted(LOADS_NO.keys() & set(PRESENT)))
def test_importing_a_package_is_light(package: str) -> None:
    code = f"import sys, {package}; print(sorted({LOADS_NO[package]} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOME)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("package", PRESENT)
def test_importing_the_commands_of_a_package_is_light(package: str) -> None:
    if not (HOME / package / "commands.py").is_file():
        pytest.skip(f"{package} has no commands")
    code = f"import sys, {package}.commands; print(sorted({{'ray', 'torch'}} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOME)
    assert run.stdout.strip() == "[]"


def test_packages_and_tests_are_laid_out_as_agreed() -> None:
    assert not list((HOME / "tests").rglob("__init__.py"))
    assert all(path.name.startswith(("test_", "conftest")) for path in (HOME / "tests").glob("*.py"))
    for folder in ("envs", "policies", "evaluation", "training", "serving"):
        assert (HOME / folder / "__init__.py").is_file()
