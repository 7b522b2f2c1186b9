import msgspec
import pytest
import zstandard

from littoral.core.errors import InvalidInput, TooLarge
from littoral.core.function_limits import APP_BUNDLE_BYTES
from littoral.fleet.bundles import UNPACKED_MOST_BYTES, pack_bundle, revision_of, unpack_bundle
from littoral.testing.random import SeededRandom

FILES = {"main.py": b"x = 1\n", "lib/helper.py": b""}


def test_what_is_packed_is_unpacked():
    assert unpack_bundle("shop", pack_bundle("shop", FILES)) == FILES


def test_the_same_files_in_another_order_are_the_same_bundle():
    assert pack_bundle("shop", FILES) == pack_bundle("shop", dict(reversed(FILES.items())))


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", "", ".", "a//b", "./a", "a\0b", "a/"])
def test_a_path_that_leaves_the_folder_is_refused_on_both_sides(path: str):
    with pytest.raises(InvalidInput, match="is no plain path below its folder"):
        pack_bundle("shop", {path: b""})
    packed = zstandard.compress(msgspec.msgpack.encode({path: b""}))
    with pytest.raises(InvalidInput, match="is no plain path below its folder"):
        unpack_bundle("shop", packed)


def test_too_much_code_is_refused_with_what_to_do():
    noise = SeededRandom(1).token_bytes(APP_BUNDLE_BYTES.default + 1000)
    with pytest.raises(TooLarge, match="Leave out what is not needed"):
        pack_bundle("shop", {"data.bin": noise})


def test_a_bundle_that_would_fill_the_memory_is_refused():
    bomb = zstandard.compress(msgspec.msgpack.encode({"a": b"\0" * (UNPACKED_MOST_BYTES + 1)}))
    assert len(bomb) < 10_000
    with pytest.raises(InvalidInput, match="bundle is damaged"):
        unpack_bundle("shop", bomb)


@pytest.mark.parametrize(
    "data", [b"", b"no zstd", zstandard.compress(b"\xc1"), zstandard.compress(b"\x93\x01\x02\x03")]
)
def test_a_damaged_bundle_is_refused(data: bytes):
    with pytest.raises(InvalidInput, match="Apply it again"):
        unpack_bundle("shop", data)


def test_a_revision_depends_on_every_part_and_on_where_they_end():
    assert revision_of(b"ab", b"c") != revision_of(b"a", b"bc")
    assert revision_of(b"ab", b"c") == revision_of(b"ab", b"c")
