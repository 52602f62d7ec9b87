# Makes .venv with the pinned dependencies, once. The other scripts source it and then use $python. With with_docs=yes
# it also installs what builds the documentation. PYTHON=NAME chooses the interpreter, python3 by default.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
python=.venv/bin/python
stamp=.venv/installed
extras=data,dev
case "${with_docs:-no}" in
    no) ;;
    yes) extras=data,dev,docs ;;
    *) echo "Error: with_docs must be yes or no. Received: $with_docs" >&2; exit 1 ;;
esac

is_installed() {
    cmp -s <(cat pyproject.toml scripts/constraints.txt; echo "$1") "$stamp"
}

if ! is_installed "$extras" && ! is_installed data,dev,docs; then
    wanted=${PYTHON:-python3}
    if ! found=$(command -v "$wanted"); then
        echo "Error: $wanted is not installed. Set PYTHON= to the name or path of a Python 3.11 to 3.13." >&2
        exit 1
    fi
    if ! "$found" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
        echo "Error: Python 3.11 to 3.13 is needed; $found is $("$found" -V). Set PYTHON= to the name or path of one." >&2
        exit 1
    fi
    echo "Installing into .venv (about 3 GB, a minute or two) ..."
    if ! "$found" -m venv .venv; then
        echo "Error: .venv could not be made. On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
    quiet=(--quiet)
    [[ -t 1 ]] && quiet=(--progress-bar on)
    options=(--no-compile --disable-pip-version-check --constraint scripts/constraints.txt --editable ".[$extras]")
    "$python" -m pip install "${quiet[@]}" "${options[@]}" || exit 1
    # pip would compile the modules on one core. Files that are no Python 3 are left as they are.
    "$python" -m compileall -q -j 0 .venv/lib > /dev/null || true
    { cat pyproject.toml scripts/constraints.txt; echo "$extras"; } > "$stamp"
fi
