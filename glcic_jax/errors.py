"""The one exception for mistakes that a user can mend."""


class UserError(ValueError):
    """A wrong setting, path or input: the message says what was expected, got, and what to do.

    The command line prints the message alone, without a traceback. Library callers may catch it
    as a `ValueError`.
    """
