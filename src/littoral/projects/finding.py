"""What is said of a project: what is wrong or has no effect, where, and what to do."""

from collections.abc import Sequence

from msgspec import Struct

from littoral.core.errors import InvalidResource


class Finding(Struct, frozen=True):
    """One thing that somebody should know."""

    file: str
    """As seen from the project's folder; empty for what is in no file."""
    line: int | None
    """Counted from 1."""
    cause: str
    remedy: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part)
        text = f"{where}: {self.cause}" if where else self.cause
        # What shows a line of a file ends with that line; the remedy then stands below it.
        joint = "\n" if "\n" in text else ". "
        return f"{text}{joint}{self.remedy}" if self.remedy else text


def refuse(folder: str, findings: Sequence[Finding]) -> InvalidResource:
    """The error that says all of them."""
    return InvalidResource(
        "build", folder or ".", "nothing was built\n" + "\n".join(str(finding) for finding in findings)
    )
