"""Score trained runs against classical fills: `python evaluate.py --workdir runs/x`."""

from glcic_jax.commands.command_line import run
from glcic_jax.commands.evaluate import main

if __name__ == "__main__":
    run(main)
