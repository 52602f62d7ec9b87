"""Failpoints: the moments at which tests kill the process, to show that no result is lost.

A failpoint is a site, which names what is written or removed, and a moment. Each write and each removal of a file
passes several of them. `TF_LOTTERY_FAILPOINT="manifest: half written"` in the environment kills the process there, as
`kill -9` does; `"manifest: half written 3"` kills it when it passes for the third time.
"""

import os
import signal

VARIABLE = "TF_LOTTERY_FAILPOINT"
WRITTEN = (  # the sites of `files.write`
    *("config", "environment", "ticket", "optimizer", "history", "line", "timing"),
    *("metrics", "manifest", "state", "report"),
    *("ticket file", "callback settings", "callback arrays", "callback records", "exported file", "archive"),
)
REMOVED = ("old state", "leftover", "callback leftover")  # the sites of `files.remove`
FILLED = ("saved model",)  # the sites of `files.folder`
EXPORTED = ("exported file", "archive", *FILLED)  # the sites that neither runs nor `fit` pass
WRITING = ("begins", "half written", "not synced", "not renamed", "renamed", "done")
REMOVING = ("begins", "done")
FILLING = ("begins", "empty", "not synced", "not renamed", "put aside", "renamed", "done")

_armed, _, _times = os.environ.get(VARIABLE, "").rpartition(" ")
_armed, _left = (_armed, int(_times)) if _times.isdigit() else (f"{_armed} {_times}".strip(), 1)


def names() -> list[str]:
    """Return the names of all failpoints, as "site: moment"."""
    kinds = ((WRITTEN, WRITING), (REMOVED, REMOVING), (FILLED, FILLING))
    return [f"{site}: {moment}" for sites, moments in kinds for site in sites for moment in moments]


def reach(site: str, moment: str) -> None:
    """Kill this process if this failpoint is the one that the environment names.

    Args:
        site: One of `WRITTEN`, `REMOVED` and `FILLED`.
        moment: One of `WRITING`, `REMOVING` and `FILLING`.
    """
    global _left
    if _armed == f"{site}: {moment}":
        _left -= 1
        if not _left:
            os.kill(os.getpid(), signal.SIGKILL)


if _armed and _armed not in names():
    raise ValueError(f"{VARIABLE} must name a failpoint, as in 'manifest: half written'. Received: {_armed!r}")
