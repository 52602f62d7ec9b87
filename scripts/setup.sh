# Makes .venv with the pinned dependencies, once; sourced by the other scripts, which then use $python.
# With with_docs=yes also what the documentation is built with.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
python=.venv/bin/python
stamp=.venv/installed
extras=data,dev${with_docs:+,docs}

if ! cmp -s <(cat pyproject.toml scripts/constraints.txt; echo "$extras") "$stamp" &&
    ! cmp -s <(cat pyproject.toml scripts/constraints.txt; echo "data,dev,docs") "$stamp"; then
    found=$(command -v "${PYTHON:-python3}") || { echo "Error: python3 is not installed." >&2; exit 1; }
    if ! "$found" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
        echo "Error: Python 3.11 to 3.13 is needed; $found is $("$found" -V). Name another one with PYTHON=..." >&2
        exit 1
    fi
    echo "Installing into .venv (about 3 GB, a minute or two) ..."
    if ! "$found" -m venv .venv; then
        echo "Error: .venv could not be made. On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
    quiet=(--quiet)
    [[ -t 1 ]] && quiet=(--progress-bar on)
    # Modules are compiled when they are first imported: most never are.
    "$python" -m pip install "${quiet[@]}" --no-compile --disable-pip-version-check --constraint scripts/constraints.txt --editable ".[$extras]"
    { cat pyproject.toml scripts/constraints.txt; echo "$extras"; } > "$stamp"
fi
