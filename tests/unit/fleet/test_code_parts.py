"""Parts of an app's code: packed the same way each time, unpacked whole or not at all."""

import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
import zstandard
from msgspec.structs import replace

from littoral.core.errors import InvalidInput, LittoralError, TooLarge
from littoral.core.function_limits import APP_CODE_BYTES
from littoral.fleet import code_parts
from littoral.fleet.code_parts import CodePart, pack_part, unpack_part

FILES = {
    "pkg/__init__.py": b"",
    "pkg/deep/a.py": b"x = 1\n",
    "é" * 80 + "/b.txt": b"b",
    "data.bin": bytes(range(256)) * 99,
}


def unpacked(part: CodePart, blob: bytes, folder: Path) -> dict[str, bytes]:
    unpack_part("shop", part, io.BytesIO(blob), folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def archive(*entries: tarfile.TarInfo, content: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        for entry in entries:
            entry.size = len(content) if entry.isreg() else 0
            file.addfile(entry, io.BytesIO(content))
    return zstandard.compress(packed.getvalue())


def part_of(blob: bytes, files: int = 1) -> CodePart:
    return CodePart("own", "0" * 64, len(blob), files)


def test_what_is_packed_is_unpacked(tmp_path: Path):
    part, blob = pack_part("shop", "packages", FILES)
    assert (part.name, part.bytes, part.files) == ("packages", len(blob), 4)
    assert unpacked(part, blob, tmp_path) == FILES


def test_the_same_files_are_the_same_blob():
    assert pack_part("shop", "own", FILES) == pack_part("shop", "own", dict(reversed(FILES.items())))
    changed: Mapping[str, bytes] = {**FILES, "pkg/deep/a.py": b"x = 2\n"}
    assert pack_part("shop", "own", changed)[0].digest != pack_part("shop", "own", FILES)[0].digest


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", "a//b", ""])
def test_a_path_that_leaves_the_folder(path: str, tmp_path: Path):
    with pytest.raises(InvalidInput, match="no plain path"):
        pack_part("shop", "own", {path: b""})
    if path:
        blob = archive(tarfile.TarInfo(path))
        with pytest.raises(InvalidInput):
            unpack_part("shop", part_of(blob), io.BytesIO(blob), tmp_path / "inside")
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_plain_file(kind: bytes, tmp_path: Path):
    entry = tarfile.TarInfo("a")
    entry.type, entry.linkname = kind, "/etc/passwd"
    blob = archive(entry)
    with pytest.raises(InvalidInput, match="a in it is no plain file"):
        unpack_part("shop", part_of(blob), io.BytesIO(blob), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_cut_off_anywhere_is_refused(tmp_path: Path):
    part, blob = pack_part("shop", "own", FILES)
    for length in range(0, len(blob), 7):
        with pytest.raises(InvalidInput, match=r"its code is damaged or cut off .* Build and deploy it again"):
            unpack_part("shop", part, io.BytesIO(blob[:length]), tmp_path / str(length))


def test_an_archive_that_ends_between_two_files_is_refused(tmp_path: Path):
    part, _ = pack_part("shop", "own", FILES)
    short = pack_part("shop", "own", {"data.bin": FILES["data.bin"]})[1]
    with pytest.raises(InvalidInput, match="1 of 4 files are in it"):
        unpack_part("shop", part, io.BytesIO(short), tmp_path)


def test_bytes_that_were_changed_never_end_in_anything_but_an_error_of_ours(tmp_path: Path):
    part, blob = pack_part("shop", "own", FILES)
    for at in range(0, len(blob), 3):
        damaged = bytearray(blob)
        damaged[at] ^= 0x55
        try:
            unpack_part("shop", part, io.BytesIO(damaged), tmp_path / str(at))
        except (LittoralError, OSError):
            continue


def entries(*headers: tuple[bytes, int, bytes]) -> bytes:
    """A blob of entries, as nobody packs them: type, size as it is stated, and content."""
    packed = zstandard.ZstdCompressor().compressobj()
    blob = b""
    for number, (kind, size, content) in enumerate(headers):
        entry = tarfile.TarInfo(f"f{number}")
        entry.type, entry.size = kind, size
        blob += packed.compress(entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
    return blob + packed.compress(bytes(1024)) + packed.flush()


@pytest.mark.parametrize(
    "kind",
    [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_SPARSE],
)
def test_what_tarfile_would_read_whole_is_refused_before_it_is_read(kind: bytes, tmp_path: Path):
    class Short(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.most = max(self.most, self.tell())
            return data

    size = 32 << 20
    head = b"%d comment=" % size
    noise = random.Random(1).randbytes(4 << 20)
    blob = entries((kind, size, head + noise * 8), (tarfile.REGTYPE, 0, b""))
    source = Short(blob)
    with pytest.raises(InvalidInput, match="f0 in it is no plain file"):
        unpack_part("shop", part_of(blob), source, tmp_path)
    assert source.most <= 2 << 20, "little more than its header was read"


def test_names_of_names_of_names_come_to_an_end(tmp_path: Path):
    blob = entries(*[(tarfile.GNUTYPE_LONGNAME, 4, b"abc\0")] * 3000)
    with pytest.raises(InvalidInput, match="damaged"):
        unpack_part("shop", part_of(blob), io.BytesIO(blob), tmp_path)


def test_no_more_files_are_written_than_it_is_to_have(tmp_path: Path):
    blob = entries(*[(tarfile.REGTYPE, 0, b"")] * 50)
    with pytest.raises(InvalidInput, match="more than 3 files are in it"):
        unpack_part("shop", part_of(blob, files=3), io.BytesIO(blob), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(part_of(blob, files=code_parts.FILES_MOST + 1)), CodePart)


@pytest.mark.parametrize("path", ["a/" * 65 + "b", "/".join(["a" * 200] * 21)])
def test_a_path_that_is_a_thousand_folders(path: str, tmp_path: Path):
    with pytest.raises(InvalidInput, match="has more than 4095 bytes or 64 folders"):
        pack_part("shop", "own", {path: b""})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as file:
        file.addfile(tarfile.TarInfo(path), io.BytesIO(b""))
    blob = zstandard.compress(packed.getvalue())
    with pytest.raises(InvalidInput):
        unpack_part("shop", part_of(blob), io.BytesIO(blob), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    part, blob = pack_part("shop", "own", {"zeros": bytes(1 << 20)})
    with pytest.raises(TooLarge, match="more than 524288 bytes"):
        unpack_part("shop", part, io.BytesIO(blob), tmp_path, 1 << 19)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(code_parts, "FILES_MOST", 3)
    with pytest.raises(TooLarge, match="it has 4 files; at most 3 are allowed"):
        pack_part("shop", "own", FILES)
    monkeypatch.undo()
    monkeypatch.setattr(code_parts, "APP_CODE_BYTES", replace(APP_CODE_BYTES, default=100))
    with pytest.raises(TooLarge, match="at most 100 are allowed"):
        pack_part("shop", "own", FILES)
