#!/usr/bin/env bash
# Writes requirements/dev.txt from pyproject.toml: every package, exact version, hashes, and no address to download
# from. Keeps the versions that are there; `scripts/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

export CUSTOM_COMPILE_COMMAND="make lock"
exec .venv/bin/pip-compile --quiet --all-extras --generate-hashes --allow-unsafe --strip-extras \
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
    --output-file requirements/dev.txt "$@" pyproject.toml
