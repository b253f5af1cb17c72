"""The shape of the project: imports point one way, files and functions stay short."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "glcic_jax"

# A room may import those that stand before it, and itself; nothing imports the last one.
ROOMS = (
    "errors",
    "config",
    "imaging",
    "files",
    "cpu",
    "networks",
    "runtime",
    "data",
    "inpainting",
    "export",
    "importing",
    "evaluation",
    "training",
    "web",
    "commands",
)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def module_name(path: Path) -> str:
    """`imaging.masks` for glcic_jax/imaging/masks.py, `imaging` for its __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path): path for path in MODULES} | {"errors": PACKAGE / "errors.py"}


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "glcic_jax":
            home = node.module.removeprefix("glcic_jax").removeprefix(".")
            for alias in node.names:
                if not home and alias.name == "__version__":
                    continue
                inner = f"{home}.{alias.name}".removeprefix(".")
                found.add(inner if inner in NAMES else home)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("glcic_jax.")]
            found |= {name.removeprefix("glcic_jax.") for name in names}
    return found


def room(module: str) -> str:
    return module.split(".")[0]


def per_module(test):
    return pytest.mark.parametrize("path", MODULES, ids=module_name)(test)


def test_every_room_stands_in_the_list():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms | {"errors"} == set(ROOMS)


@per_module
def test_imports_point_to_earlier_rooms(path: Path):
    own = room(module_name(path))
    for module in imported_modules(path):
        there = room(module)
        assert there in ROOMS, f"{path} imports {module or 'the public API'}"
        assert there == own or ROOMS.index(there) < ROOMS.index(own), f"{path} imports {module}"


def test_no_modules_import_each_other_in_a_circle():
    waiting = {name: imported_modules(path) & NAMES.keys() for name, path in NAMES.items()}
    while waiting:
        free = {name for name, needs in waiting.items() if not (needs - {name}) & waiting.keys()}
        assert free, f"a circle among {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in free}


@per_module
def test_functions_fit_on_a_screen(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def test_files_are_short():
    lengths = {path: len(path.read_text().splitlines()) for path in NAMES.values()}
    assert max(lengths.values()) <= 320, [path for path in lengths if lengths[path] > 320]
    assert sorted(lengths.values())[len(lengths) // 2] <= 130


@per_module
def test_public_names_are_documented(path: Path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_tests_stand_in_the_rooms_that_they_test():
    rooms = {*ROOMS, "benchmarks", "campaign"}
    for path in (ROOT / "tests").glob("*/*.py"):
        assert path.parent.name in rooms, path
