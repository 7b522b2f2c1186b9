#!/usr/bin/env bash
# Makes .venv with exactly what requirements/dev.txt pins, and the project itself in editable form.
# Usage: scripts/make-venv.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."

python="${1:-}"
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Littoral needs Python 3.11 or newer. Install it, or name it: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi

# Debian splits the part of the standard library that makes virtual environments into a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    minor="$("$python" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')"
    scripts/debian-packages.sh "python$minor-venv"
fi

# An interrupted or outdated environment is brought up to date in place; one without a working Python is made anew.
if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    rm -rf .venv
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi

echo "Installing the packages pinned in requirements/dev.txt (a minute or two the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
# The build backend is among them: nothing is fetched here.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
