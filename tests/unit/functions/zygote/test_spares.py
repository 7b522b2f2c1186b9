"""Processes that wait to be workers, in a zygote that this test plays in a process of its own."""

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ZYGOTE = """
import os, select, socket, sys
from pathlib import Path

import msgspec

from littoral.functions.zygote.child_ends import Ends
from littoral.functions.confinement.confine import Confinement
from littoral.functions.messages import REVISION, Answer
from littoral.functions.worker.rehearsal import SPEC
from littoral.functions.zygote.socket_files import bind_anew
from littoral.functions.zygote.spares import Spares
from littoral.wire.frames import FrameReader

run, code = map(Path, sys.argv[1:])
spec = msgspec.structs.replace(
    SPEC, directory=str(code), main="main.py", memory_bytes=1 << 28, bounds=type(SPEC.bounds)(), revision="r-1"
)
held = os.memfd_create("spec")
os.write(held, msgspec.msgpack.encode(spec))
confinement = Confinement(run)
user = 2_000_000_123 if confinement.gives_users else None
spares = Spares(1, confinement, str(run / "fn"))
spares.fork()
ends = Ends(bind_anew(str(run / "fn" / "0")), held, str(run / "fn" / "0"))
print("before it is prepared:", spares.take(ends, user))
((pid, channel),) = spares._waiting
select.select([channel], [], [], 10)
print("then:", spares.take(ends, user) == pid)
print("left behind:", os.listdir(run / "fn"))
ends.close_childs()
print("ready:", os.read(ends.ready, 100).decode())
with socket.socket(socket.AF_UNIX) as gateway:
    gateway.connect(str(run / "fn" / "0"))
    (body,) = FrameReader(1 << 16).feed(gateway.recv(1 << 16))
    print("serves:", msgspec.msgpack.decode(body, type=Answer).headers)
"""


def test_a_spare_is_taken_once_it_is_prepared_and_is_the_worker_it_is_told_to_be(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.py").write_text("from workers import Response\n\ndef on_fetch(request):\n    return Response('x')\n")
    with tempfile.TemporaryDirectory(prefix="lit") as run:
        command = [sys.executable, "-c", textwrap.dedent(ZYGOTE), run, str(code)]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, env=dict(os.environ))
    assert said.stdout.splitlines() == [
        "before it is prepared: None",
        "then: True",
        "left behind: ['0']",
        "ready: ready",
        "serves: [('revision', 'r-1')]",
    ]
