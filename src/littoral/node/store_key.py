"""Where a node's document says that the key of its store is, and reading it from there."""

import os
import stat
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from littoral.core.errors import Forbidden, InvalidInput, LittoralError, NotFound, StartupError
from littoral.core.resources.model import Encryption
from littoral.drivers.command import output_of
from littoral.security.store_key import StoreKey, parse_key

KEY_TEXT_BYTES = 1024
"""A key in any form is far shorter."""
COMMAND_S = 30.0
"""A security module that is asked for a key may be slow; one that never answers must not look like a node that starts."""
_OPERATION = "read the store's key from"


def read_key(encryption: Encryption | None, environment: Mapping[str, str]) -> StoreKey | None:
    """The key; None for a store that is not encrypted.

    Raises StartupError, which names where the key was to come from, and never what was found there.
    """
    if encryption is None:
        return None
    try:
        if encryption.key_file is not None:
            return parse_key(_file(Path(encryption.key_file)), encryption.key_file)
        if encryption.key_env is not None:
            return parse_key(_variable(encryption.key_env, environment), f"${encryption.key_env}")
        assert encryption.key_command
        text = output_of(encryption.key_command, COMMAND_S, KEY_TEXT_BYTES)
        return parse_key(text, encryption.key_command[0])
    except StartupError:
        raise
    except LittoralError as error:
        raise StartupError(error.operation, error.subject, error.cause, error.remedy) from None


def take_variable(encryption: Encryption | None, environment: MutableMapping[str, str]) -> dict[str, str]:
    """Take the variable that holds the key out of `environment`, so that it is inherited by nobody who does not need it;
    returns it. Empty where the key comes from elsewhere."""
    if encryption is None or encryption.key_env is None or encryption.key_env not in environment:
        return {}
    return {encryption.key_env: environment.pop(encryption.key_env)}


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IRWXO:
                raise Forbidden(_OPERATION, str(path), "every user of this machine may read it", f"chmod 600 {path}")
            return file.read(KEY_TEXT_BYTES)
    except OSError as error:
        raise NotFound(
            _OPERATION,
            str(path),
            error.strerror or str(error),
            "Check spec.encryption.keyFile, and who may read the file",
        ) from error


def _variable(name: str, environment: Mapping[str, str]) -> bytes:
    text = environment.get(name)
    if text is None:
        raise InvalidInput(_OPERATION, f"${name}", "it is not set", "Set it for the process that runs the node")
    return text.encode()
