#!/usr/bin/env bash
# Installs what the package-lock.json in a folder pins, with the Node.js of the virtual environment.
# Usage: scripts/npm-packages.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH="$PWD/.venv/bin:$PATH"
echo "Installing the npm packages pinned in $1/package-lock.json"
npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
