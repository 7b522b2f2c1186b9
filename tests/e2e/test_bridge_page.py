"""The commands of docs/howto/bridge-another-broker.md, at a mosquitto and a node."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.test_mqtt_access_page import run, wait_for
from tests.support.ports import free_base_port

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "bridge-another-broker.md"
DEADLINE_S = 60


def moved(text: str, folder: Path) -> str:
    """With files and ports of the test."""
    port = free_base_port(2)
    text = text.replace("/etc/littoral", str(folder)).replace("1883", str(port)).replace("1884", str(port + 1))
    return re.sub(r"\blittoral (?=mqtt|validate|node)", f"{shlex.quote(sys.executable)} -m littoral.cli.main ", text)


def blocks(text: str, kind: str) -> list[str]:
    found = re.findall(r"^```([a-z]*)\n(.*?)^```\n", text, re.DOTALL | re.MULTILINE)
    return [block for name, block in found if name == kind]


def ended(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    process.wait(DEADLINE_S)


def shown(command: str, folder: Path) -> list[str]:
    """The table of bridges, when it says what it is about to say."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        lines = [re.sub(r"\b\d+s\b", "2s", line.rstrip()) for line in run(command, folder).splitlines()]
        if re.search(r"connected .* 1 +1$", lines[-1]) or time.monotonic() > deadline_s:
            return [" ".join(line.split()) for line in lines]
        time.sleep(0.1)


def test_the_recipe(tmp_path: Path):
    text = moved(PAGE.read_text(encoding="utf-8"), tmp_path)
    conf, _, _, table, _ = blocks(text, "")
    if os.getuid() == 0:
        conf += "user root\n"
    (tmp_path / "office.conf").write_text(conf, encoding="utf-8")
    [document] = blocks(text, "yaml")
    (tmp_path / "node.yaml").write_text(document, encoding="utf-8")
    lines = [line for each in blocks(text, "sh") for line in each.splitlines()]
    login, office, password, validate, start, out, there, order, here, bridges = lines
    run(login, tmp_path)
    run(password, tmp_path)
    run(validate, tmp_path)
    ports = [int(each) for each in re.findall(r"127\.0\.0\.1:(\d+)", document)]
    with subprocess.Popen(shlex.split(office), cwd=tmp_path, stderr=subprocess.DEVNULL) as broker:
        try:
            wait_for(ports[1])
            with subprocess.Popen(shlex.split(start), cwd=tmp_path) as node:
                try:
                    wait_for(ports[0])
                    run(out, tmp_path)
                    assert run(there, tmp_path) == "plant-a/line/1/count 17\n"
                    run(order, tmp_path)
                    assert run(here, tmp_path) == "orders/1 bolts\n"
                    assert shown(bridges, tmp_path) == [" ".join(line.split()) for line in table.splitlines()]
                finally:
                    ended(node)
        finally:
            ended(broker)
