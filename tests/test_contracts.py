"""Every array that a public function takes has its shape in its name or in the docstring."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "glcic_jax"
MODULES = sorted(PACKAGE.rglob("*.py"))

ARRAY = re.compile(r"\b(jax\.Array|np\.ndarray|ArrayLike)\b")
SHAPED_NAME = re.compile(r"_(?:[A-Zh-w0-9]+x)*[A-Z0-9][A-Za-z0-9]*(?:x[A-Za-z0-9]+)*$")
"""Ends in a shape, as image_BxHxWx3, keys_B, starts_Ex2, corner_2."""
SHAPED_TEXT = re.compile(
    r"_(?:[\w.]+x)+\w+"  # an array with a shape in its name, image_BxHxWx3
    r"|\bshape\b|\bany shape|\bscalar"
    r"|\b[a-z]+_[A-Z]\b"  # keys_B
    r"|\[[A-Z, ]+\]"  # float32[B]
)


def public_functions(tree: ast.Module):
    """Functions, and methods of public classes, whose names have no leading underscore."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                public = isinstance(inner, ast.FunctionDef) and (
                    not inner.name.startswith("_") or inner.name in ("__call__", "__init__")
                )
                if public:
                    texts = (ast.get_docstring(node) or "", ast.get_docstring(inner) or "")
                    yield f"{node.name}.{inner.name}", inner, "\n".join(texts)


def without_a_shape(tree: ast.Module) -> list[str]:
    """Parameters of array type about whose shape nothing is said."""
    found = []
    for name, function, text in public_functions(tree):
        arguments = function.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            annotation = ast.unparse(argument.annotation) if argument.annotation else ""
            if not ARRAY.search(annotation) or annotation.startswith("Callable"):
                continue
            if SHAPED_NAME.search(argument.arg):
                continue
            # What its own entry of Args says, or else the text as a whole.
            entry = re.search(rf"^\s*{argument.arg}: .*(?:\n\s{{8,}}.*)*", text, re.MULTILINE)
            if not SHAPED_TEXT.search(entry.group() if entry else text):
                found.append(f"{name}({argument.arg})")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_shapes_of_array_parameters_are_told(path: Path):
    assert without_a_shape(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("signature", "text", "told"),
    [
        ("image: jax.Array", "Do it.", False),
        ("image_BxHxWx3: jax.Array", "Do it.", True),
        ("keys_B: jax.Array", "Do it.", True),
        ("image: np.ndarray | None", "Args:\n    image: uint8 image_HxWx3.", True),
        ("image: jax.Array", "Args:\n    image: float32 in [0, 1].", False),
        ("a: jax.Array, b: jax.Array", "Args:\n    a: of shape (3,).\n    b: more.", False),
        ("image: jax.Array", "float in [0, 1] of any shape -> uint8.", True),
        ("images: Mapping[str, np.ndarray]", "Look at them.", False),
        ("find: Callable[[jax.Array], int]", "Do it.", True),
    ],
)
def test_the_rule_itself(signature: str, text: str, told: bool):
    indented = text.replace("\n", "\n    ")
    source = f'def function({signature}) -> None:\n    """{indented}\n    """\n'
    assert (without_a_shape(ast.parse(source)) == []) == told
