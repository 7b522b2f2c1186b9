"""workerd and Deno, with the same function in JavaScript: installed from npm, as tests/conformance installs its packages."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benches.harness import free_port, process

PACKAGES = Path(__file__).parent / "peers"
PLATFORMS = {"x86_64": ("linux-64", "linux-x64-glibc"), "aarch64": ("linux-arm64", "linux-arm64-glibc")}
"""Of the machine: what the packages call it."""

WORKERD_CODE = """
const body = "x".repeat(1024);
export default { async fetch(request) { return new Response(body); } };
"""
WORKERD_CONFIG = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .hello) ],
  sockets = [ (name = "http", address = "127.0.0.1:{port}", http = (), service = "main") ]
);
const hello :Workerd.Worker = (
  modules = [ (name = "hello.js", esModule = embed "hello.js") ], compatibilityDate = "2025-01-01"
);
"""
DENO_CODE = """
const body = "x".repeat(1024);
Deno.serve({{ hostname: "127.0.0.1", port: {port} }}, () => new Response(body));
"""


def _installed() -> Path:
    modules = PACKAGES / "node_modules"
    if not (modules / ".package-lock.json").is_file():
        # Not `npm ci`: it wants the packages of every platform, which not every mirror has.
        flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel=error")
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(["npm", "install", "--prefix", str(PACKAGES), *flags], check=True, env=environment)
    return modules


@contextmanager
def workerd(at: Path) -> Iterator[int]:
    """Its port. at: a folder for its files."""
    binary = _installed() / "@cloudflare" / f"workerd-{PLATFORMS[platform.machine()][0]}" / "bin" / "workerd"
    port = free_port()
    (at / "hello.js").write_text(WORKERD_CODE)
    (at / "workerd.capnp").write_text(WORKERD_CONFIG.format(port=port))
    with process([str(binary), "serve", str(at / "workerd.capnp")], port):
        yield port


@contextmanager
def deno(at: Path) -> Iterator[int]:
    """Its port. at: a folder for its files."""
    binary = _installed() / "@deno" / PLATFORMS[platform.machine()][1] / "deno"
    port = free_port()
    (at / "deno.js").write_text(DENO_CODE.format(port=port))
    with process([str(binary), "run", "--no-prompt", "--allow-net=127.0.0.1", str(at / "deno.js")], port):
        yield port
