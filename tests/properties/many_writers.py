"""Many processes that write one file, or one folder, at once; prints what was found as JSON.

`python many_writers.py file FOLDER 300`: 300 writers of FOLDER/target, while this process reads it again and again.
One process forks all others, because imports take longer than a write.
"""

import json
import os
import sys
from pathlib import Path

from tf_lottery import files
from tf_lottery.errors import RunError

PARTS = 8  # files in a folder


def content(writer):
    """What a writer writes: of a length and with bytes that tell which writer it was."""
    return f"{writer} ".encode() * (1000 + writer)


def write_file(target, writer):
    files.write(target, content(writer), "report")


def write_folder(target, writer):
    with files.folder(target, "saved model") as folder:
        for part in range(PARTS):
            (folder / str(part)).write_bytes(content(writer))


def read_file(target):
    return [target.read_bytes()]


def read_folder(target):
    return [path.read_bytes() for path in target.iterdir()]


def is_whole(kind, found):
    """Return whether all of it is of one writer."""
    expected = content(int(found[0].split()[0])) if found and found[0] else b""
    return len(found) == (1 if kind == "file" else PARTS) and set(found) == {expected}


def begin(write, target, writer, gate):
    """Start a writer, which waits until the gate is closed; return its id."""
    if child := os.fork():
        return child
    status = 3
    try:
        os.read(gate, 1)
        write(target, writer)
        status = 0
    except RunError as error:
        status = 1 if "rocess" in str(error) else 2  # it says who else writes, or not
    finally:
        os._exit(status)


def main(kind, folder, number):
    target = Path(folder) / "target"
    write, read = (write_file, read_file) if kind == "file" else (write_folder, read_folder)
    write(target, 0)
    gate, opener = os.pipe()
    os.set_inheritable(opener, False)
    children = []
    for writer in range(1, number + 1):
        children.append(begin(lambda *both: (os.close(opener), write(*both)), target, writer, gate))
    os.close(gate)
    os.write(opener, bytes(number))
    broken, statuses = 0, []
    while children:
        if kind == "file":  # a folder is missing for a moment while it is exchanged
            broken += not is_whole(kind, read(target))
        done, status = os.waitpid(-1, os.WNOHANG)
        if done:
            children.remove(done)
            statuses.append(os.waitstatus_to_exitcode(status))
    result = {
        "broken": broken + (not is_whole(kind, read(target))),
        "succeeded": statuses.count(0),
        "told": statuses.count(1),
        "failed": sum(status not in (0, 1) for status in statuses),
        "names": sorted(os.listdir(folder)),
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
