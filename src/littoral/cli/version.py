"""littoral version."""

import littoral


def version() -> None:
    """Print the version of this program."""
    print(littoral.__version__)
