#!/usr/bin/env bash
# Prints the path of the Autobahn Testsuite's wstest, which is installed below the given directory if it is not
# there yet. The suite is a Python 2.7 package.
set -euo pipefail
dir=${1:?usage: wstest.sh DIRECTORY}
wstest="$dir/venv/bin/wstest"
[ -x "$wstest" ] && { echo "$wstest"; exit 0; }

find_python() {
    for candidate in python2.7 python2 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1 &&
            { echo "$candidate"; return; }
    done
    echo "python 2.7 is missing (looked for python2.7, python2 and pyenv's versions)" >&2
    return 1
}

python=$(find_python)
mkdir -p "$dir"
# Beside the suite, so that the interpreter's own packages stay as they are.
"$python" -m pip install --quiet --target "$dir/virtualenv" "virtualenv<20.22" >&2
PYTHONPATH="$dir/virtualenv" "$python" -m virtualenv --quiet "$dir/venv" >&2
"$dir/venv/bin/pip" install --quiet "autobahntestsuite==25.10.1" >&2
echo "$wstest"
