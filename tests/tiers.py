"""When a case of a test runs: always, or only before a change lands; `pytest.mark.nightly` is for the rest."""

import pytest


def slow(*values):
    """A case for which others stand until a change is to land."""
    return pytest.param(*values, marks=pytest.mark.slow)


def always(*chosen, among):
    """All cases of `among`, of which only the chosen ones are not slow."""
    missing = [case for case in chosen if case not in among]
    assert not missing, missing
    return [case if case in chosen else slow(*(case if isinstance(case, tuple) else (case,))) for case in among]
