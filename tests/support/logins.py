"""Logins for tests."""

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id


def cheap_hash(password: str) -> str:
    """A hash that costs next to nothing: of what guards a node, the parameters are for `security.passwords` to say."""
    return Argon2id(salt=b"a test's salt", length=16, iterations=1, lanes=1, memory_cost=8).derive_phc_encoded(
        password.encode()
    )
