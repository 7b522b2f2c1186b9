"""Hashing a password."""

import io

from littoral.cli.main import run
from littoral.security.passwords import verify_password


def test_the_first_line_of_stdin_is_hashed(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\nrest\n"))
    assert run(["mqtt", "hash"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed.startswith("$argon2id$")
    assert verify_password("correct horse", printed)


def test_no_password_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["mqtt", "hash"]) == 1
    assert capsys.readouterr().err.startswith("error: cannot hash password: it has 1 to")
