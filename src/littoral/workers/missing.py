"""What Workers have and functions do not have yet: it says so when it is used, not by doing something else."""


class NotSupported(NotImplementedError):
    """A part of the Workers interface that is not there. The message names it and says what to do instead."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what} is not supported yet. {instead}")
