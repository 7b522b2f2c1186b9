"""The commands of the tutorial do what it says, in the order of the page; and those of a recipe for such a tree."""

import contextlib
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from littoral.cli.tree_file import read_tree
from littoral.security.operator import TOKEN_PATH
from tests.e2e.test_pages import (
    BASE_PORT,
    DEADLINE_S,
    FOLLOWING,
    MESSAGES,
    REPOSITORY,
    TIERS,
    TUTORIAL,
    commands,
    follow,
    moved,
    run,
    running,
    runs,
    until,
)
from tests.support.real_node import call

ELSEWHERE = ("make demo", ".venv/bin/littoral demo")
"""Run here as `littoral up`, and by test_demo.py."""


@contextlib.contextmanager
def tree(folder: Path):
    """What `make demo` starts, in a folder that looks like a checkout."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    script = folder / ".venv" / "bin" / "littoral"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m littoral.cli.main "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    said = folder / "said"
    command = [str(script), "up", "--port", str(BASE_PORT)]
    with said.open("wb") as output, subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as process:
        try:
            until(lambda: "Ctrl-C ends it" in said.read_text() or process.poll() is not None)
            assert process.poll() is None, said.read_text()
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)


def here(command: str, folder: Path) -> str:
    """The command with the ports and the password of this tree."""
    password = json.loads((folder / ".littoral" / "tree.json").read_text())["mqtt"]["password"]
    return moved(command).replace("PASSWORD", password)


def streams(folder: Path) -> bytes:
    """Those of the root, as its API lists them: a command that asks again and again would hold up the whole tree."""
    root = read_tree(folder / ".littoral").nodes["cloud"]
    token = (folder / root.data_dir / TOKEN_PATH).read_text(encoding="ascii").strip()
    return call(f"{root.api}/v1/stream-list", headers={"authorization": f"Bearer {token}"}).body


def test_the_tutorial(tmp_path):
    lines = [line for line in commands(TUTORIAL) if line not in ELSEWHERE]
    assert len(lines) > 8
    with tree(tmp_path):
        # The page says how long the first anomaly takes; its reader is slower than we are.
        until(lambda: b'"plant-a/alerts"' in streams(tmp_path))
        shown = {}
        for line in lines:
            command = here(line, tmp_path)
            if any(word in command for word in FOLLOWING):
                follow(command, tmp_path)
            elif line.endswith("kv get factory note"):
                # The page says that it takes seconds.
                until(
                    lambda command=command: (
                        subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode == 0
                    )
                )
            else:
                shown[line] = run(command, tmp_path)
        follow_tiers(tmp_path)
        follow_messages(tmp_path)
    assert any("plant-a" in text for line, text in shown.items() if line.endswith("status"))


def follow_messages(folder):
    """The recipe for messages between sites, in the same tree."""
    text = MESSAGES.read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    (folder / "orders.yaml").write_text(block, encoding="utf-8")
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "
    lines = [re.sub(r"^littoral ", littoral, here(line, folder)) for line in commands(MESSAGES)]
    _, apply, first, second, subscribe, cut, publish, kill, restore, back, retain, late = lines
    run(apply, folder)
    for listing in (first, second):
        until(lambda listing=listing: "eu/mqtt-tree/orders" in run(listing, folder))
    run(subscribe, folder)
    for line in (cut, publish, kill, restore):
        run(line, folder)
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    three, retained = [body for kind, body in blocks if not kind]
    assert run(back, folder) == three
    until(lambda: runs(retain, folder))
    assert run(late, folder) == retained


def follow_tiers(folder):
    """The recipe for tiers, in a tree that runs already: it takes a while to start one."""
    (block,) = re.findall(r"^```yaml\n(apiVersion.*?)^```", TIERS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (folder / "shop.yaml").write_text(moved(block), encoding="utf-8")
    interpreter = shlex.quote(sys.executable)
    lines = [re.sub(r"^python ", f"{interpreter} ", moved(line)) for line in commands(TIERS)]
    make, serve, up, apply, test, first, second, cut, again, restore = [
        line.replace("littoral ", f"{interpreter} -m littoral.cli.main ", 1) for line in lines
    ]
    assert up.endswith(f"up --port {BASE_PORT} --no-devices")
    run(make, folder)
    with running(serve, folder) as server:
        try:
            run(apply, folder)
            until(lambda: "eu, the parent node" in run(test, folder))
            for site in (first, second):
                until(lambda site=site: "littoral-cloud; " in run(f"{site}?{time.monotonic_ns()}", folder))
            assert tiers(run(first, folder)) == ["cloud; fwd", "eu; fwd", "plant-a; fwd"]
            assert tiers(run(second, folder)) == ["eu; hit", "plant-b; fwd"]
            run(cut, folder)
            assert tiers(run(again, folder)) == ["plant-b; fwd"]
            run(restore, folder)
        finally:
            server.terminate()


def tiers(answer):
    """What each cache has done."""
    return re.findall(r"^cache-status: littoral-([a-z-]+; (?:hit|fwd))", answer, re.MULTILINE)
