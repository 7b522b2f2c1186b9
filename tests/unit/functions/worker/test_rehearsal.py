"""What a rehearsal leaves behind: code that Python has fitted to what it does, and nothing else."""

import subprocess
import sys
from pathlib import Path

REHEARSE = """
import asyncio, dis, os, signal, sys
from littoral.functions.worker.loader import load_module
from littoral.functions.worker import rehearsal
from littoral.functions.worker.worker import Worker

CODE = [Worker.__init__, Worker._answer, Worker.start, load_module]

def state():
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": os.listdir("/proc/self/task"),
        "handlers": [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)],
        "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "wakeup": signal.set_wakeup_fd(-1),
        "path": list(sys.path),
        "module": "rehearsal" in sys.modules,
        "policy": asyncio.events._event_loop_policy,
        "files": os.listdir(sys.argv[1]),
    }

def fitted():
    plain = [[each.opname for each in dis.get_instructions(code)] for code in CODE]
    now = [[each.opname for each in dis.get_instructions(code, adaptive=True)] for code in CODE]
    return [one != other for one, other in zip(plain, now)]

before = state()
assert not any(fitted()), fitted()
blocked, rehearse = [], rehearsal.rehearse
rehearsal.rehearse = lambda *given: (blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())), rehearse(*given))[1]
rehearsal.learn_by_heart(sys.argv[1])
assert blocked and all(each == {signal.SIGTERM} for each in blocked), blocked
assert all(fitted()), fitted()
assert state() == before, (before, state())
"""


def test_the_zygote_knows_by_heart_what_workers_do_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", REHEARSE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
