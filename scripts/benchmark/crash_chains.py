"""In which order one directory can be killed at failpoint after failpoint, each of them reached.

A chain is a list of failpoints, `"manifest: half written 2"` being the second time in a process. The program is started
with each of them in turn and must be killed there; what is left at the end must be what an undisturbed program leaves.
"""

from tf_lottery import failpoints

_UNITS = ("history", "metrics", "ticket", "timing", "manifest")


def chains() -> list[tuple[str, list[str]]]:
    """Return all of them, each with the program that it is for; together they name every failpoint there is."""
    return [
        *(("run", chain) for site in ("environment", "config") for chain in _of_two_generations(site)),
        *(("run", [*_moments(site), *_moments(site, 2)]) for site in _UNITS),
        ("run", [*_moments("state"), *_moments("state", 4)]),
        ("run", [*_moments("optimizer"), "optimizer: not renamed 2"]),  # written at level 0 alone, for both variants
        ("run", [*_moments("line"), "line: not renamed 2"]),  # three of them
        ("run", ["old state: begins", "old state: done", "old state: begins 5", "old state: done 5"]),
        ("run", _LEFTOVERS),
        ("run", [*_moments("report"), *_moments("report", 5)]),
        ("fit", _moments("callback settings")),
        ("fit", [*_moments("callback arrays"), *_moments("callback arrays", 2), "callback arrays: not renamed 3"]),
        ("fit", [*_moments("callback records"), "callback records: not renamed 2"]),
        ("fit", _CALLBACK_LEFTOVERS),
        ("file", _moments("ticket file") * 2),  # a new one, then another in its place
    ]


_LEFTOVERS = [
    *("leftover: begins", "leftover: done", "leftover: begins"),  # the states of a training that is done
    *("state: half written", "leftover: begins", "leftover: done"),  # what a killed write has left
    "leftover: done 2",
]
_CALLBACK_LEFTOVERS = [
    *("callback leftover: begins", "callback leftover: done"),  # the state at step k of a fit that was broken off
    *("callback leftover: begins 2", "callback leftover: begins", "callback leftover: done"),  # an optimizer's state
]


def _of_two_generations(site: str) -> list[list[str]]:
    """Return a file is written and then its backup; once renamed, neither is written again."""
    return [[*_moments(site)[:-1], *_moments(site)[:-1]], [f"{site}: done"] * 2]


def _moments(site: str, times: int = 1) -> list[str]:
    return [f"{site}: {moment}" + (f" {times}" if times > 1 else "") for moment in failpoints.WRITING]
