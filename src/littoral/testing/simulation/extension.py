"""Kinds of work, faults and checks of one's own, in a file that is run before the simulation.

The file adds to `WORK`, `FAULTS` and `CHECKS`; docs/howto/simulate-a-tree.md has an example.
"""

import runpy
from pathlib import Path

from littoral.core.errors import InvalidInput
from littoral.testing.simulation.faults import FAULTS
from littoral.testing.simulation.work import WORK


def load_extension(file: Path) -> None:
    """Run a file. Raises InvalidInput where it is none, fails, or gives a fault the name of a kind of work."""
    try:
        runpy.run_path(str(file), run_name=file.stem)
    except OSError as error:
        raise InvalidInput("load", str(file), str(error.strerror), "Give a Python file") from error
    except Exception as error:
        raise InvalidInput("load", str(file), f"it fails: {type(error).__name__}: {error}") from error
    if both := set(WORK) & set(FAULTS):
        raise InvalidInput("load", str(file), f"{min(both)} is the name of a kind of work and of a fault", "Rename one")
