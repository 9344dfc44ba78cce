#!/usr/bin/env bash
# The core package on other Pythons, each in an environment of its own: a search, its pictures, more of it, a comparison, a table.
# With the newest of everything, and once with the lowest versions that pyproject.toml allows.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

main() {
    local version python said failed=0
    said=$(mktemp -d)
    for version in 3.10 3.12 3.13; do
        if python=$(interpreter "$version"); then
            journey "$python" >"$said/Python $version, newest versions" 2>&1 &
        else
            echo "== no Python $version here (looked on the path and among pyenv's): not tried"
        fi
    done
    if python=$(interpreter 3.10); then # the only one that all lowest versions have wheels for
        mapfile -t lowest < <(sed -n '/^dependencies = \[/,/^\]/s/^ *"\([a-z-]*\)>=\([0-9.]*\)".*/\1==\2/p' "$repository/pyproject.toml")
        journey "$python" "${lowest[@]}" >"$said/Python 3.10, lowest versions" 2>&1 &
    fi
    while [ -n "$(jobs -p)" ]; do
        wait -n || failed=1
    done
    for log in "$said"/*; do
        echo "== ${log##*/}"
        cat "$log"
    done
    rm -r "$said"
    return "$failed"
}

interpreter() { # VERSION: the path of such a Python, whether the system's or pyenv's
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if "$candidate" -c "import sys, venv; sys.exit(sys.version_info[:2] != tuple(map(int, '$1'.split('.'))))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

journey() ( # PYTHON [REQUIREMENT...]
    set -euo pipefail
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    export FRUGALNAS_CACHE="$work/cache"
    unset PYTHONPATH
    "$1" -m venv "$work/venv"
    export PATH="$work/venv/bin:$PATH"
    python -m pip install --quiet --no-compile --disable-pip-version-check -e "$repository" "${@:2}"
    cd "$work"
    python -c 'import numpy; print("with NumPy", numpy.__version__)'
    {
        frugalnas search random --queries 20 --quiet --run-dir run
        frugalnas resume run --queries 25 --quiet
        frugalnas show run
        frugalnas compare random,evolution --queries 20 --seeds 2 --run-dir comparison
        printf 'architecture,validation\n%s,90\n%s,80.5\n' \
            '|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|' '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|' >mine.csv
        frugalnas table import mine.csv --name nasbench201/mine
        frugalnas table doctor
    } >said.txt 2>&1 || { cat said.txt && return 1; }
    test "$(grep -c '"value"' run/journal.jsonl)" = 25
    test -s run/report/cell.png
    grep -q 'mine.*2 architectures of nasbench201' said.txt
    echo "all well"
)

main
