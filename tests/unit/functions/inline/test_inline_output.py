import asyncio
import io
import sys
from contextvars import Context

import pytest

from littoral.functions.inline.inline_output import AppOutput, current_output, divide_output
from littoral.functions.worker.redaction import redactor


def test_each_app_writes_its_own_lines_without_its_secrets_and_the_process_its_own(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    own = io.StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    monkeypatch.setattr(sys, "stderr", own)

    async def main() -> dict[str, list[str]]:
        divide_output()
        divide_output()
        said: dict[str, list[str]] = {"a": [], "b": []}
        for name, lines in said.items():
            output = AppOutput(f"{name}-inline", 2, 1 << 20, redactor([f"secret-of-{name}"]), lines.append)
            context = Context()
            context.run(current_output.set, output)
            # As in pieces: lines end where they end.
            for piece in ("one ", f"secret-of-{name}\n", "two\nthree\n"):
                context.run(sys.stdout.write, piece)
        sys.stderr.write("of the process\n")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return said

    said = asyncio.run(main())
    assert said == {"a": ["one [secret]\ntwo"], "b": ["one [secret]\ntwo"]}, "as many lines as they may write"
    assert own.getvalue() == "of the process\n"
    assert "a-inline: one [secret]\n" in capfd.readouterr().err
