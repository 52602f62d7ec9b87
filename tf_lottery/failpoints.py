"""The moments at which a test kills the process: whatever is lost then, no result may be.

Every write and every removal of a file passes some of them, by name. `TF_LOTTERY_FAILPOINT="manifest: half written"` in
the environment has the process killed there, as `kill -9` would; `"manifest: half written 3"` at the third time.
"""

import os
import signal

VARIABLE = "TF_LOTTERY_FAILPOINT"
WRITTEN = (  # what is written: the sites of `files.write`
    *("config", "environment", "ticket", "optimizer", "history", "line", "timing"),
    *("metrics", "manifest", "state", "report"),
    *("ticket file", "callback settings", "callback arrays", "callback records", "exported file"),
)
REMOVED = ("old state", "leftover", "callback leftover")  # the sites of `files.remove`
FILLED = ("saved model",)  # the sites of `files.folder`
EXPORTED = ("exported file", *FILLED)  # what neither a run nor a `fit` writes
WRITING = ("begins", "half written", "not synced", "not renamed", "renamed", "done")
REMOVING = ("begins", "done")
FILLING = ("begins", "empty", "not synced", "not renamed", "put aside", "renamed", "done")

_armed, _, _times = os.environ.get(VARIABLE, "").rpartition(" ")
_armed, _left = (_armed, int(_times)) if _times.isdigit() else (f"{_armed} {_times}".strip(), 1)


def names() -> list[str]:
    """Return all failpoints."""
    kinds = ((WRITTEN, WRITING), (REMOVED, REMOVING), (FILLED, FILLING))
    return [f"{site}: {moment}" for sites, moments in kinds for site in sites for moment in moments]


def reach(site: str, moment: str) -> None:
    """Kill this process, if the environment says so."""
    global _left
    if _armed == f"{site}: {moment}":
        _left -= 1
        if not _left:
            os.kill(os.getpid(), signal.SIGKILL)


if _armed and _armed not in names():
    raise ValueError(f"{VARIABLE} must name a failpoint. Received: {_armed!r}")
