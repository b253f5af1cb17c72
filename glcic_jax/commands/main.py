"""`glcic-jax COMMAND ...`: which commands there are, and how one is started.

A new command is a module with a `main` that reads the command line, and a line in `COMMANDS`.
Nothing heavy is imported here, so help and a mistyped command answer at once.
"""

from __future__ import annotations

import difflib
import importlib
import sys

from glcic_jax import __version__
from glcic_jax.commands.command_line import run
from glcic_jax.errors import UserError

COMMANDS = {
    "train": "train a network, or go on with a run",
    "fill": "repair photographs: fill what a mask marks",
    "serve": "the same on a page in the browser",
    "evaluate": "score runs against classical fills, or compare them in a report",
    "export": "write the generator of a run to one file",
    "import": "write a generator that another program trained to one file",
    "train-classifier": "train the CIFAR-100 classifier that a report can use",
    "reproduce-study": "train and compare every variant of the study",
}
"""What each command does; its module has the same name with underscores."""
_MODULES = {"import": "import_generator"}
"""Modules of other names: `import` is a word of the language."""


def main() -> None:
    """Start the command that the first word of the command line names."""
    run(_dispatch)


def _dispatch() -> None:
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(__version__)
    elif name in COMMANDS:
        # The command reads its options from here, and shows this as its name.
        sys.argv = [f"glcic-jax {name}", *rest]
        module = _MODULES.get(name, name.replace("-", "_"))
        importlib.import_module(f"glcic_jax.commands.{module}").main()
    else:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(
            f"there is no command {name!r}; {hint}known are {', '.join(COMMANDS)}. "
            "glcic-jax --help says what they do"
        )


def _help() -> str:
    wide = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{wide}}  {what}" for name, what in COMMANDS.items())
    return (
        "usage: glcic-jax COMMAND [options]\n\nFill holes in images with learned completion "
        f"(GLCIC).\n\n{listed}\n\nglcic-jax COMMAND --help describes the options of a command."
    )
