import threading

import pytest
import zstandard

from littoral.wire.compression import Undecodable, decompress

DATA = b"reading " * 1000


def test_what_fits_is_unpacked():
    assert decompress(zstandard.compress(DATA), len(DATA)) == DATA


def test_what_announces_more_is_refused_before_it_is_unpacked():
    with pytest.raises(Undecodable, match="8000 bytes; at most 7999"):
        decompress(zstandard.compress(DATA), len(DATA) - 1)


def test_what_does_not_say_its_size_is_refused():
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(DATA)
    with pytest.raises(Undecodable, match="an unknown number of bytes"):
        decompress(silent, 1 << 30)


@pytest.mark.parametrize("data", [b"", b"\x00" * 20, zstandard.compress(DATA)[:-5]])
def test_what_is_damaged_is_refused(data: bytes):
    with pytest.raises(Undecodable):
        decompress(data, 1 << 20)


def test_threads_do_not_disturb_each_other():
    packed = [zstandard.compress(bytes([n]) * 200_000) for n in range(4)]
    wrong: list[int] = []

    def work(n: int) -> None:
        wrong.extend(n for _ in range(50) if decompress(packed[n], 200_000) != bytes([n]) * 200_000)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
