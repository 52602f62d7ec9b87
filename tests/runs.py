"""Experiments through the script, in processes of their own."""

import sys

import calls


def command(run_dir, *arguments, config="digits_lenet"):
    return [
        *(sys.executable, "scripts/find_tickets.py"),
        *(f"--config=configs/{config}.py", f"--run_dir={run_dir}", *arguments),
    ]


def find_tickets(run_dir, *arguments, config="digits_lenet"):
    """What the script prints, called by `calls.script`; it must succeed."""
    done = calls.script("find_tickets", *command(run_dir, *arguments, config=config)[2:])
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def digest(path):
    """Every file of a run but those that hold wall-clock times and locks."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name != "timing.json" and file.suffix != ".lock"
    }
