"""What a node can do to confine apps, and what it says where it cannot."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from littoral.functions.confinement import landlock, seccomp
from littoral.functions.confinement.confine import CannotConfine, Means

NO_ROOT = "the node does not run as root"


def test_where_nothing_is_missing_nothing_is_said():
    assert Means(True, "", 7, True).missing == ""
    Means(True, "", 0, True).check_sandbox()
    Means(False, NO_ROOT, landlock.SCOPES_SINCE, True).check_sandbox()


def test_process_goes_on_and_says_what_is_missing():
    assert Means(False, NO_ROOT, 7, True).missing == f"a user and a file system of its own ({NO_ROOT})"
    missing = Means(False, NO_ROOT, 0, False).missing
    assert "Landlock, so that it can read whatever the node can" in missing
    assert "seccomp, so that it can start programs" in missing


@pytest.mark.parametrize(
    ("means", "lacks"),
    [
        (Means(True, "", 7, False), "seccomp"),
        (Means(False, NO_ROOT, landlock.SCOPES_SINCE - 1, True), "Landlock of version 6 or later"),
        (Means(False, NO_ROOT, 0, True), "Landlock of version 6 or later"),
    ],
)
def test_a_sandbox_refuses_rather_than_lack_something(means: Means, lacks: str):
    with pytest.raises(CannotConfine, match=f"`sandbox` is not available at this node, which lacks {lacks}"):
        means.check_sandbox()


def in_a_process(code: str) -> str:
    """What this code prints in a process of its own, which it may confine."""
    before = "import os, socket\nfrom littoral.functions.confinement import kernel, landlock, seccomp\n"
    before += "kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)\n"
    command = [sys.executable, "-c", before + textwrap.dedent(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


needs_landlock = pytest.mark.skipif(not landlock.version(), reason="the kernel has no Landlock")
needs_seccomp = pytest.mark.skipif(not seccomp.is_offered(), reason="the kernel has no seccomp filters")


@needs_landlock
def test_landlock_leaves_what_is_named(tmp_path: Path):
    for name in ("seen", "hidden", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    said = in_a_process(f"""
        def tried(*arguments):
            try:
                with open(*arguments) as file:
                    return file.read() if len(arguments) == 1 else str(file.write("x"))
            except PermissionError:
                return "refused"
        landlock.restrict(["{tmp_path}/seen"], ["{tmp_path}/own", "/not/there"])
        print(*(tried("{tmp_path}/" + name + "/file") for name in ("seen", "hidden", "own")))
        print(*(tried("{tmp_path}/" + name + "/new", "w") for name in ("seen", "hidden", "own")))
        try:
            os.rename("{tmp_path}/own/new", "{tmp_path}/seen/new")
        except OSError as error:
            print(type(error).__name__, "moving")
    """)
    assert said.split("\n") == ["seen refused own", "refused refused 1", "PermissionError moving"]


@needs_seccomp
def test_a_filter_holds_for_threads_and_stays():
    said = in_a_process("""
        import threading
        seccomp.apply(seccomp.UNIX_ONLY)
        def tries():
            for act in (os.fork, lambda: socket.socket(socket.AF_INET), lambda: os.kill(os.getppid(), 0)):
                try:
                    print(act())
                except PermissionError as error:
                    print(error.errno)
        thread = threading.Thread(target=tries)
        thread.start()
        thread.join()
        os.kill(os.getpid(), 0)
        socket.socket(socket.AF_UNIX).close()
        print(os.getpid() == int(open("/proc/self/status").read().split("Pid:\\t")[1].split()[0]))
    """)
    assert said.split("\n") == ["1", "1", "1", "True"]


@needs_seccomp
def test_a_loop_that_is_made_before_the_filter_goes_on_below_it():
    said = in_a_process("""
        import asyncio, uvloop
        seccomp.refuse_rings()
        loop = uvloop.new_event_loop()

        async def talk():
            near, far = socket.socketpair()
            _, writer = await asyncio.open_connection(sock=near)
            reader, _ = await asyncio.open_connection(sock=far)
            writer.write(b"heard")
            return (await reader.readexactly(5)).decode()

        loop.run_until_complete(talk())
        seccomp.apply(seccomp.INTERNET)
        print(loop.run_until_complete(talk()))
    """)
    assert said == "heard"


def test_who_prepares_to_be_confined_keeps_its_bounds(tmp_path: Path):
    said = in_a_process(f"""
        import resource, sys
        from pathlib import Path
        from littoral.functions.confinement.confine import Confinement
        from littoral.functions.worker.rehearsal import SPEC
        bounds = (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)
        before = [resource.getrlimit(each)[1] for each in bounds], os.geteuid()
        Confinement(Path({str(tmp_path)!r})).prepare(SPEC)
        print(before == ([resource.getrlimit(each)[1] for each in bounds], os.geteuid()))
    """)
    assert said == "True"


@needs_seccomp
def test_a_process_that_may_fork_may_do_that_alone():
    said = in_a_process("""
        seccomp.apply(seccomp.INTERNET, forks=True)
        pid = os.fork()
        if pid == 0:
            try:
                os.execv("/bin/true", ["true"])
            except PermissionError:
                os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert said == "7"


@needs_seccomp
def test_memory_that_no_limit_counts_is_not_to_be_had():
    said = in_a_process("""
        import ctypes, mmap, resource
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mremap.restype = libc.mmap.restype = ctypes.c_void_p
        libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
        stack = next(line for line in open("/proc/self/maps") if "[stack]" in line)
        lowest, end = (int(part, 16) for part in stack.split()[0].split("-"))
        seccomp.apply(seccomp.INTERNET)
        for moved in (lowest, end - 4096):
            assert libc.mremap(moved, 4096, 1 << 30, 1) == 2**64 - 1
            print(ctypes.get_errno())
        try:
            mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100)
        except PermissionError as error:
            print(error.errno)
        with mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as usual:
            usual.resize(1 << 20)
            print(len(usual))
    """)
    assert said.split("\n") == ["1", "1", "1", str(1 << 20)]


@needs_seccomp
def test_nobody_leaves_the_process_group_by_which_it_is_ended():
    said = in_a_process("""
        seccomp.apply(seccomp.INTERNET, forks=True)
        for leave in (os.setsid, lambda: os.setpgid(0, 0)):
            try:
                print(leave())
            except PermissionError as error:
                print(error.errno)
    """)
    assert said.split("\n") == ["1", "1"]


@needs_seccomp
def test_who_shares_the_nodes_user_changes_nothing_of_its_files_and_processes(tmp_path: Path):
    for name in ("file", "read"):
        (tmp_path / name).write_text("kept")
        os.utime(tmp_path / name, (1, 1))
        os.chmod(tmp_path / name, 0o640)
    said = in_a_process(f"""
        import shutil
        other = os.getppid()
        seccomp.apply(seccomp.INTERNET, shared=True)
        path = "{tmp_path}/file"
        os.chmod(path, 0o777)
        os.utime(path, (2, 2))
        os.chown(path, 7, 7)
        os.setxattr(path, "user.x", b"1")
        shutil.copy2(path, "{tmp_path}/copy")
        descriptor = os.open(path, os.O_RDONLY)
        os.fchmod(descriptor, 0o777)
        os.sched_setaffinity(0, os.sched_getaffinity(0))
        os.setpriority(os.PRIO_PROCESS, os.getpid(), 1)
        print(open("{tmp_path}/copy").read())
        for act in (
            lambda: os.truncate(path, 0),
            lambda: os.open("{tmp_path}/read", os.O_RDONLY | os.O_TRUNC),
            lambda: os.sched_setaffinity(other, [0]),
            lambda: os.sched_setscheduler(other, os.SCHED_IDLE, os.sched_param(0)),
            lambda: os.setpriority(os.PRIO_PROCESS, other, 19),
            lambda: os.setpriority(os.PRIO_PGRP, 0, 19),
            lambda: os.setpriority(os.PRIO_USER, 0, 19),
        ):
            try:
                print("done", act())
            except PermissionError as error:
                print(error.errno)
    """)
    assert said.split("\n") == ["kept", *["1"] * 7]
    for name in ("file", "read"):
        facts = (tmp_path / name).stat()
        assert (facts.st_size, facts.st_mtime, facts.st_mode & 0o777, facts.st_uid) == (4, 1, 0o640, os.getuid())
    assert not os.listxattr(tmp_path / "file")


@needs_seccomp
def test_who_has_more_filters_than_we_is_confined():
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as other:
        assert not seccomp.is_confined(other.pid)
        other.communicate(b"\n")
    code = "from littoral.functions.confinement import kernel, seccomp; kernel.prctl(38, 1); seccomp.apply((1,)); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as confined:
        assert confined.stdout is not None
        assert confined.stdout.readline() == b"1\n"
        assert seccomp.is_confined(confined.pid)
        confined.communicate(b"\n")
    assert seccomp.is_confined(confined.pid), "who is gone cannot be asked"
    assert not seccomp.is_confined(os.getpid())


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filters_are_whole_for_every_machine(machine: str):
    program = seccomp.program(7, seccomp.INTERNET, machine, shared=True)
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096, "the kernel takes no longer ones"
    assert program[-8:] == bytes.fromhex("060000000000ff7f"), "what is not refused is allowed"
