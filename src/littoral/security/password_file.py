"""Files of logins: `NAME:HASH`, a line each, as `littoral mqtt hash` prints hashes."""

from littoral.core.errors import InvalidInput
from littoral.security.passwords import check_password_hash

NAME_CHARACTERS_MOST = 256


def read_password_file(data: bytes, path: str) -> dict[str, str]:
    """The hash of each name. Empty lines, and those that begin with "#", say nothing. Raises InvalidInput, which names the line."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInput("read password file", path, "it is not UTF-8 text") from error
    hashes: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        # A hash has no ":"; a name may.
        name, _, password_hash = line.rstrip().rpartition(":")
        if not 1 <= len(name) <= NAME_CHARACTERS_MOST:
            cause = f"expected NAME:HASH, with a name of 1 to {NAME_CHARACTERS_MOST} characters"
            raise InvalidInput("read password file", f"{path}, line {number}", cause)
        if name in hashes:
            raise InvalidInput("read password file", f"{path}, line {number}", f'"{name}" stands there twice')
        try:
            check_password_hash(password_hash)
        except InvalidInput as error:
            raise InvalidInput("read password file", f"{path}, line {number}", error.cause, error.remedy) from error
        hashes[name] = password_hash
    return hashes
