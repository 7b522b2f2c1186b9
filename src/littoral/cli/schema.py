"""littoral schema."""

import msgspec

from littoral.core.resources.schema import json_schema


def schema() -> None:
    """Print the JSON Schema of `littoral/v1` documents, for editors."""
    print(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode())
