#!/usr/bin/env bash
# Prints the path of a Python that has the packages of a requirements file, installed below the given directory if they
# are not there yet.
set -euo pipefail
requirements=${1:?usage: venv.sh REQUIREMENTS DIRECTORY}
dir=${2:?usage: venv.sh REQUIREMENTS DIRECTORY}
python="$dir/bin/python"
stamp="$dir/installed"
cmp -s "$requirements" "$stamp" && { echo "$python"; exit 0; }

find_python() {
    for candidate in python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
        "$candidate" -c 'import sys, venv; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1 &&
            { echo "$candidate"; return; }
    done
    echo "python 3.12 or 3.13 with venv is missing (looked for python3.13, python3.12, pyenv's versions, python3)" >&2
    return 1
}

base=$(find_python)
"$base" -m venv --clear "$dir" >&2
"$python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2
cp "$requirements" "$stamp"
echo "$python"
