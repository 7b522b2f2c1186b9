"""The process says what keeps it from starting."""

import subprocess
import sys
from pathlib import Path

from littoral.drivers.listeners import listen_tcp
from littoral.node.layout import EXIT_STARTUP


def start(data_dir: Path, *, api: str = "http://127.0.0.1:1", before: str = "") -> str:
    code = f"import sys; {before}\nfrom littoral.dashboard.__main__ import main\nsys.exit(main())"
    with listen_tcp("127.0.0.1:0") as listener:
        arguments = ["--fd", str(listener.fileno()), "--api", api, "--data-dir", str(data_dir)]
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == EXIT_STARTUP
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    said = start(tmp_path, before="sys.modules['nicegui'] = None")
    assert "nicegui is not installed" in said
    assert "littoral[cloud]" in said


def test_a_directory_without_a_node_is_named(tmp_path: Path) -> None:
    assert "node.json" in start(tmp_path)


def test_an_api_that_is_no_plain_http_is_refused(tmp_path: Path) -> None:
    assert 'Write "http://host:port"' in start(tmp_path, api="https://127.0.0.1:1")
