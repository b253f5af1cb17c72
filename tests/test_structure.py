"""The shape of the project: imports point one way, functions stay short."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "glcic_jax"

# From the bottom up: a module may import those of lower layers, and of its own package.
LAYERS = (
    ("errors", "files", "intervals", "history"),
    ("rendezvous", "scoring"),
    ("distributed",),
    ("config", "images"),
    ("config_checks", "config_json"),
    ("masks", "fill", "losses", "metrics"),
    ("models", "data"),
    ("optimizers", "devices"),
    ("classifier",),
    ("train_state", "pretrained", "presets"),
    ("steps", "checkpoint", "workdir", "writers"),
    ("windows",),
    ("region",),
    ("windowed",),
    ("inpaint",),
    ("baselines",),
    ("evaluation",),
    ("sheets",),
    ("comparison",),
    ("report_tables", "report_charts"),
    ("report_page",),
    ("reporting",),
    ("training",),
    ("command_line",),
)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def layer_of(name: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if name in layer)


def part_of(path: Path) -> str:
    """The package's own name for a module: a file's stem or its folder's name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "glcic_jax":
            parts |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("glcic_jax."):
            parts.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("glcic_jax.")]
            parts |= {name.split(".")[1] for name in names}
    return parts


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path):
    own = part_of(path)
    for part in imported_parts(path) - {own}:
        assert layer_of(part) < layer_of(own), f"{own} imports {part}, which stands above it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_fit_on_a_screen(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= 70, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_names_are_documented(path: Path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"
