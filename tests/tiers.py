"""Helpers that mark cases of a parametrized test as slow, or for the night."""

import pytest


def slow(*values):
    """Mark a case as slow: it runs only with --slow or --nightly."""
    return pytest.param(*values, marks=pytest.mark.slow)


def nightly(*values):
    """Mark a case as nightly: it runs only with --nightly."""
    return pytest.param(*values, marks=pytest.mark.nightly)


def always(*chosen, among):
    """Return the cases of `among`; all but the chosen ones are marked slow. A tuple is a case of several parameters."""
    missing = [case for case in chosen if case not in among]
    assert not missing, missing
    return [case if case in chosen else slow(*(case if isinstance(case, tuple) else (case,))) for case in among]
