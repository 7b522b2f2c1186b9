"""Where the key of a store comes from."""

import base64
import sys
from pathlib import Path

import pytest

from littoral.core.errors import StartupError
from littoral.core.resources.model import Encryption
from littoral.node.store_key import read_key, take_variable

KEY = bytes(range(32))
HEX = KEY.hex()


def read(**source: object) -> str:
    key = read_key(Encryption(**source), {"STORE_KEY": HEX, "SHORT": HEX[:-2]})  # type: ignore[arg-type]
    assert key is not None
    return key.reveal()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(0o600)
    return path


@pytest.mark.parametrize("text", [HEX, HEX.upper() + "\n", base64.b64encode(KEY).decode(), f" {HEX} "])
def test_of_a_file_in_hexadecimal_or_base64(file, text):
    file.write_text(text)
    assert read(key_file=str(file)) == HEX


def test_of_a_variable_and_of_a_command():
    assert read(key_env="STORE_KEY") == HEX
    assert read(key_command=[sys.executable, "-c", f"print('{HEX}')"]) == HEX
    assert read_key(None, {}) is None


def test_a_command_is_run_without_a_shell(tmp_path):
    with pytest.raises(StartupError):
        read(key_command=["echo", f"{HEX};touch {tmp_path}/made"])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("text", ["", "short", HEX[:-2], HEX + "00", base64.b64encode(KEY[:-1]).decode(), "x" * 2000])
def test_what_is_no_key_is_refused_and_not_repeated(file, text):
    file.write_text(text)
    with pytest.raises(StartupError, match="openssl rand -hex 32") as caught:
        read(key_file=str(file))
    assert caught.value.subject == str(file)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "subject", "cause"),
    [
        ({"key_file": "/none/key"}, "/none/key", "No such file"),
        ({"key_env": "MISSING"}, "$MISSING", "it is not set"),
        ({"key_env": "SHORT"}, "$SHORT", "what is there is no key"),
        ({"key_command": ["/none/tool"]}, "/none/tool", "No such file"),
        ({"key_command": ["false"]}, "false", "it ended with status 1"),
        ({"key_command": ["echo", HEX[1:]]}, "echo", "what is there is no key"),
        ({"key_command": ["head", "-c", "5000", "/dev/zero"]}, "head", "it printed more than 1024 bytes"),
    ],
)
def test_what_goes_wrong_names_where_the_key_was_to_come_from(source, subject, cause):
    with pytest.raises(StartupError) as caught:
        read(**source)
    assert (caught.value.subject, caught.value.cause[: len(cause)]) == (subject, cause)
    assert HEX[1:] not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_file_that_everybody_may_read_is_refused(file):
    file.write_text(HEX)
    file.chmod(0o644)
    with pytest.raises(StartupError, match="chmod 600"):
        read(key_file=str(file))


def test_a_command_that_never_ends_is_killed(monkeypatch):
    monkeypatch.setattr("littoral.node.store_key.COMMAND_S", 0.2)
    for command in (["sleep", "600"], ["sh", "-c", f"echo {HEX}; exec >&-; sleep 600"]):
        with pytest.raises(StartupError, match="it did not end in time"):
            read(key_command=command)


def test_the_variable_is_taken_out_of_what_others_inherit():
    environment = {"STORE_KEY": HEX, "PATH": "/bin"}
    assert take_variable(Encryption(key_env="STORE_KEY"), environment) == {"STORE_KEY": HEX}
    assert environment == {"PATH": "/bin"}
    assert take_variable(Encryption(key_env="STORE_KEY"), environment) == {}
    assert take_variable(Encryption(key_file="STORE_KEY"), {"STORE_KEY": HEX}) == {}
    assert take_variable(None, environment) == {}


def test_a_key_is_not_printed_by_mistake():
    key = read_key(Encryption(key_env="STORE_KEY"), {"STORE_KEY": HEX})
    assert HEX not in f"{key} {key!r} {[key]}"
