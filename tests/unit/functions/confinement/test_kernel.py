"""Calls of the kernel."""

import ctypes
import mmap
import struct

from littoral.functions.confinement import kernel


def resident(address: int, pages: int) -> list[int]:
    """Which pages from there on take memory."""
    with open("/proc/self/pagemap", "rb") as entries:
        entries.seek(address // mmap.PAGESIZE * 8)
        read = struct.iter_unpack("<Q", entries.read(pages * 8))
        return [number for number, (entry,) in enumerate(read) if entry >> 63]


def test_pages_of_zeros_take_no_memory_and_read_as_before() -> None:
    pages = 6
    with mmap.mmap(-1, pages * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(bytes(len(memory)))
        memory[3 * mmap.PAGESIZE + 7] = 1
        held = ctypes.c_char.from_buffer(memory)
        address = ctypes.addressof(held)
        assert resident(address, pages) == list(range(pages))
        # Neither the first nor the last one is whole within.
        kernel.give_back_zeros(address + 1, len(memory) - 2)
        assert resident(address, pages) == [0, 3, 5]
        assert memory[3 * mmap.PAGESIZE + 7] == 1
        assert memory[:].count(0) == len(memory) - 1
        del held
