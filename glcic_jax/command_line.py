"""What the command-line programs share: a mistake of the user's is one message, not a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from glcic_jax.errors import UserError


def run(main: Callable[[], None]) -> None:
    """Call `main`; print a `UserError` as `error: ...` to stderr and exit with status 1."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
