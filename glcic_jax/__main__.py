"""`python -m glcic_jax`, the same as `glcic-jax`."""

from glcic_jax.commands.main import main

if __name__ == "__main__":
    main()
