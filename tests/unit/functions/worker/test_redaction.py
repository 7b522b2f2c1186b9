import io
import sys

import pytest

from littoral.functions.worker.redaction import MARK, Redacted, hide_secrets, redactor


def test_a_mark_stands_in_place_of_each_secret():
    redact = redactor(["secret-a", "secret-a-longer", "x", "12345"])
    assert redact("has secret-a-longer, secret-a and x 12345") == f"has {MARK}, {MARK} and x 12345"


def test_a_stream_says_all_else_as_it_is():
    told = io.StringIO()
    stream = Redacted(told, redactor(["secret-a"]))
    assert stream.write("a secret-a\n") == len("a secret-a\n")
    stream.writelines(["b\n", "secret-a\n"])
    stream.flush()
    assert told.getvalue() == f"a {MARK}\nb\n{MARK}\n"
    assert not stream.isatty()


def test_a_process_without_secrets_prints_as_before(monkeypatch: pytest.MonkeyPatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert hide_secrets([])("text") == "text"
    assert sys.stdout is out
    assert hide_secrets(["secret-a"])("secret-a") == MARK
    sys.stdout.write("secret-a")
    sys.stderr.write("secret-a")
    assert out.getvalue() == err.getvalue() == MARK
