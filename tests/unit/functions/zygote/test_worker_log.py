"""Lines of workers: prefixed, cut, and so many a second."""

from littoral.functions.zygote.worker_log import LINE_BYTES, READ_TIMES, WorkerLog


def test_lines_come_whole_and_with_the_workers_name():
    log = WorkerLog("shop-0", 0, 0)
    assert log.feed(b"one\ntw") == b"shop-0: one\n"
    assert log.feed(b"o\n\nthree") == b"shop-0: two\nshop-0: \n"
    assert log.feed(b"") == b"shop-0: three\n"


def test_a_long_line_is_cut():
    log = WorkerLog("a-0", 0, 0)
    said = log.feed(b"x" * (LINE_BYTES + 5))
    assert said.splitlines() == [b"a-0: " + b"x" * LINE_BYTES, b"a-0: " + b"x" * 5]


def test_what_is_beyond_in_a_second_is_left_out_and_counted_once():
    log = WorkerLog("a-0", 2, 0)
    assert log.feed(b"1\n2\n3\n") == b"a-0: 1\na-0: 2\n"
    assert log.feed(b"4\n") == b""
    assert log.next_second() == (
        b"a-0: 2 lines were left out: more than 2 lines or 0 bytes in a second (limits.logLines, limits.logBytes)\n"
    )
    assert log.next_second() == b""
    assert log.feed(b"5\n") == b"a-0: 5\n"


def test_bytes_are_bounded_as_well():
    log = WorkerLog("a-0", 0, 10)
    assert log.feed(b"12345\n12345\n1\n") == b"a-0: 12345\na-0: 12345\n"
    assert b"1 lines were left out" in log.next_second()


def test_a_flood_is_not_even_read_until_the_next_second():
    log = WorkerLog("a-0", 0, 10)
    log.feed(b"x" * (READ_TIMES * 10 - 1))
    assert not log.has_enough
    log.feed(b"x")
    assert log.has_enough
    log.next_second()
    assert not log.has_enough
