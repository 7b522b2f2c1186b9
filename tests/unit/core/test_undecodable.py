"""What somebody else wrote ends nothing: all that reading it may raise is told as an error of ours."""

import re
from pathlib import Path

import msgspec
import pytest
import zstandard

import littoral
from littoral.core.errors import InvalidInput, StorageCorrupt, Unavailable
from littoral.core.names import StreamName
from littoral.dashboard.records import decode_alert, decode_window
from littoral.fleet.bundles import unpack_bundle
from littoral.fleet.inbox import Message, read_message, read_part
from littoral.iot.readings import decode_reading
from littoral.iot.retry import read_result
from littoral.node.inbox_rights import is_repeatable
from littoral.streams.bootstrap import items_of
from littoral.wire.peer import decode
from littoral.wire.problem import error_of
from littoral.wire.subscriptions import Refused, is_done, read_body

SOURCE = StreamName("plant-a", "outbox")
PACKED_TEXT = b"\x81\xa2id\xa4\xff\xfe\xfd\xfc"
"""{"id": text that is not UTF-8}"""
PACKED_DEEP = b"\x81\xa1?" + b"\x91" * 100_000 + b"\xc0"
TEXT = b'{"command": "\xff", "done": "\xff", "rule": "\xff", "kind": "\xff"}'
DEEP = b'{"?": ' + b"[" * 100_000
OWN = {
    "cli/sim.py",
    "cli/targets.py",
    "cli/tree_file.py",
    "functions/hub/config_file.py",
    "functions/zygote/hub_connection.py",
    "iot/rules/state.py",
    "node/gateway_config.py",
    "node/layout.py",
    "security/identity.py",
    "store/check.py",
    "store/spill.py",
    "testing/simulation/checks.py",
}
"""They read files that this node, its hub or its operator wrote."""


@pytest.mark.parametrize("data", [PACKED_TEXT, PACKED_DEEP])
def test_msgpack(data: bytes):
    for read in (read_message, read_part):
        with pytest.raises(InvalidInput):
            read(data, SOURCE)
    with pytest.raises(InvalidInput):
        decode(data, dict[str, str], "answer")
    with pytest.raises(StorageCorrupt):
        decode_reading(data)
    with pytest.raises(InvalidInput):
        unpack_bundle("app", zstandard.compress(data))


def test_the_items_of_a_snapshot():
    with pytest.raises(InvalidInput):
        items_of(b"\x91" * 100_000)


@pytest.mark.parametrize("data", [TEXT, DEEP])
def test_json(data: bytes):
    with pytest.raises(InvalidInput):
        read_result(data)
    with pytest.raises(Refused):
        read_body(data, dict)
    assert not is_done(data)
    assert decode_window(msgspec.Raw(data)) is None
    assert decode_alert(msgspec.Raw(data)) is None
    assert isinstance(error_of(500, data, "ask", "it"), Unavailable)
    asked = Message(
        id="k",
        ticket=b"",
        asker="eu",
        target="plant-a",
        asked_ms=0,
        deadline_ms=0,
        method="POST",
        path="/v1/commands",
        body=data,
    )
    assert is_repeatable(asked), "it is refused"


def test_whoever_catches_a_decode_error_catches_all_of_them():
    root = Path(littoral.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"except [^:]*msgspec\.DecodeError", path.read_text())
    }
    assert found <= OWN, "UNDECODABLE is what reading foreign bytes may raise"
