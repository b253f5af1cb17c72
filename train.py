"""Train GLCIC: `python train.py --workdir runs/x`. The same command resumes the run."""

from glcic_jax.commands.command_line import run
from glcic_jax.commands.train import main

if __name__ == "__main__":
    run(main)
