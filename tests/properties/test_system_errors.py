"""A call of the system that fails is a typed error, and the same command ends with the same bytes afterwards."""

import errno
import os

import pytest
import runs
from properties import failpoints_of_runs
from tiers import slow

from tf_lottery.errors import LotteryError
from tf_lottery.experiment.storage import Run
from tf_lottery.report import overview

CALLS = ("stat", "lstat", "listdir", "scandir", "open", "mkdir", "replace", "unlink", "fsync")
ERRORS = (errno.EACCES, errno.EIO, errno.EMFILE, errno.ENOSPC, errno.EROFS)


class Failing:
    """A function of `os` that fails at one call, or at all calls from one on."""

    def __init__(self, function, number, at, *, for_ever):
        self.function, self.number, self.at, self.for_ever = function, number, at, for_ever
        self.calls = 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == self.at or (self.for_ever and self.calls > self.at):
            raise OSError(self.number, os.strerror(self.number), *map(str, arguments[:1]))
        return self.function(*arguments, **options)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    failpoints_of_runs.perform(path := tmp_path_factory.mktemp("expected") / "run")
    return runs.digest(path)


def look(path):
    """Read all that scripts/runs.py reads."""
    run = Run.load(path)
    overview.read(run).steps, [*overview.verify(run)], [*overview.find(path)]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("step", [slow(1), 7])
def test_a_run_survives_each_failing_call(tmp_path, monkeypatch, expected, call, step):
    at = 1
    while True:
        path = tmp_path / str(at)
        number, for_ever = ERRORS[at % len(ERRORS)], bool(at % 2)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing := Failing(getattr(os, call), number, at, for_ever=for_ever))
            try:
                failpoints_of_runs.perform(path)
                look(path)
                told = os.strerror(number)
            except LotteryError as error:
                told = str(error)
        assert os.strerror(number) in told, f"call {at}"
        failpoints_of_runs.perform(path)
        look(path)
        assert runs.digest(path) == expected, f"call {at}"
        if failing.calls < at:
            break
        at += step
    assert at > 1 or call in ("lstat", "scandir")
