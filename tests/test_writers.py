"""Any number of processes write one file or folder at once; nothing outside is touched through links.

A link trap is a link where something is written, to a file or a folder that must not change.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pytest
from tiers import nightly

import tf_lottery as tfl
from tf_lottery import files, locks
from tf_lottery.errors import ExportError, LotteryError, RunError, TicketError
from tf_lottery.experiment import open_run
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.export import targets

TESTS = Path(__file__).parent
SITE, UNIT = "report", Unit(1, 0)
STOPS = """
import signal, sys; from pathlib import Path; from tf_lottery import failpoints, files
def reach(site, moment):
    if moment == sys.argv[2]:
        print("stopped", flush=True); sys.stdin.read()
failpoints.reach = reach
path = Path(sys.argv[1])
if path.name == "file":
    files.write(path, b"of the slow one", "report")
else:
    with files.folder(path, "saved model") as folder:
        (folder / "inside").write_text("of the slow one")
"""


def names(folder):
    return sorted(os.listdir(folder))


def python(*arguments):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *map(str, arguments)], text=True, **pipes)


@pytest.mark.parametrize("number", [30, nightly(300)])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_many_writers_at_once_leave_what_one_of_them_wrote(tmp_path, kind, number):
    script = TESTS / "properties/many_writers.py"
    with python(script, kind, tmp_path, number) as process:
        found = json.loads(process.communicate()[0])
    assert found == {"broken": 0, "succeeded": number, "told": 0, "failed": 0, "names": ["target"]}


@pytest.mark.parametrize("moment", ["half written", "not synced", "not renamed"])
def test_a_writer_that_lives_keeps_its_temporary_file_and_a_dead_one_does_not(tmp_path, moment):
    path = tmp_path / "file"
    with python("-c", STOPS, path, moment) as slow_one:
        assert slow_one.stdout.readline() == "stopped\n"
        files.write(path, b"of the fast one", SITE)
        (temporary,) = [name for name in names(tmp_path) if name != "file"]
        files.remove(tmp_path / temporary, "leftover")
        assert names(tmp_path) == [temporary, "file"]
        slow_one.stdin.close()
        assert slow_one.wait() == 0
    assert path.read_bytes() == b"of the slow one"
    with python("-c", STOPS, path, moment) as killed_one:
        killed_one.stdout.readline()
        killed_one.kill()
    assert len(names(tmp_path)) == 2
    files.write(path, b"of the next one", SITE)
    assert names(tmp_path) == ["file"]


def test_a_folder_that_another_process_fills_stays_and_that_of_a_dead_one_does_not(tmp_path):
    path = tmp_path / "folder"
    with python("-c", STOPS, path, "not synced") as slow_one:
        slow_one.stdout.readline()
        with files.folder(path, "saved model") as folder:
            (folder / "inside").write_text("of the fast one")
        assert len(names(tmp_path)) == 2
        slow_one.stdin.close()
        assert slow_one.wait() == 0
    assert (path / "inside").read_text() == "of the slow one"
    with python("-c", STOPS, path, "not synced") as killed_one:
        killed_one.stdout.readline()
        killed_one.kill()
    with files.folder(path, "saved model"):
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == ["folder"]


def test_a_folder_is_exchanged_by_one_process_at_a_time_and_the_other_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PATIENCE_SECONDS", 0.1)
    path = tmp_path / "folder"
    with python("-c", STOPS, path, "not renamed") as slow_one:
        slow_one.stdout.readline()
        with pytest.raises(
            RunError, match=rf"^Process {slow_one.pid} is writing .*folder or something beside it; wait"
        ):
            files.folder(path, "saved model").__enter__()
        slow_one.kill()
    with files.folder(path, "saved model"):
        pass
    assert names(tmp_path) == ["folder"]


def test_a_temporary_file_that_is_taken_for_a_leftover_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    try_lock, taken = locks.try_lock, []

    def late(descriptor, *, otherwise):
        if otherwise and not taken:  # the writer: another process comes first
            taken.append(names(tmp_path))
            files.remove(tmp_path / taken[0][0], "leftover")
        return try_lock(descriptor, otherwise=otherwise)

    monkeypatch.setattr(locks, "try_lock", late)
    files.write(tmp_path / "file", b"whole", SITE)
    assert len(taken) == 1
    assert names(tmp_path) == ["file"]


def test_where_there_are_no_locks_files_are_written_and_leftovers_stay(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    leftover = tmp_path / ".file.0123456789ab.tmp"
    leftover.touch()
    files.write(tmp_path / "file", b"whole", SITE)
    with files.folder(tmp_path / "folder", "saved model"):
        pass
    assert names(tmp_path) == [leftover.name, "file", "folder"]


def test_only_leftovers_of_the_same_name_are_removed(tmp_path):
    others = [".file.tmp", ".file.backup.tmp", ".other.0123456789ab.tmp", "file.0123456789ab.tmp", ".file.0123456789ab"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".file.0123456789ab.tmp").touch()
    (tmp_path / ".file.ba9876543210.tmp").mkdir()
    files.write(tmp_path / "file", b"whole", SITE)
    assert names(tmp_path) == sorted([*others, "file"])


@pytest.fixture
def outside(tmp_path):
    """A folder that no test may change."""
    folder = tmp_path / "outside"
    (folder / "level_00").mkdir(parents=True)
    for name in ("victim", "run.lock", "level_00/checkpoint_0000000100.tfl", "level_00/.ticket.tfl.tmp"):
        (folder / name).write_text("precious")
    before = contents(folder)
    yield folder
    assert contents(folder) == before


def contents(folder):
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def plant(trap, victim, kind):
    trap.parent.mkdir(parents=True, exist_ok=True)
    trap.unlink(missing_ok=True)
    trap.symlink_to(victim) if kind == "symbolic" else trap.hardlink_to(victim)


KINDS = pytest.mark.parametrize("kind", ["symbolic", "hard"])


@KINDS
@pytest.mark.parametrize("trap", ["file", ".file.tmp", ".file.0123456789ab.tmp"])
def test_a_link_where_a_file_is_written_is_replaced_and_not_followed(tmp_path, outside, trap, kind):
    plant(tmp_path / "in" / trap, outside / "victim", kind)
    files.write(tmp_path / "in/file", b"whole", SITE)
    assert (tmp_path / "in/file").read_bytes() == b"whole"
    assert not (tmp_path / "in/file").is_symlink()


@pytest.mark.parametrize("trap", [".folder.tmp", ".folder.old.tmp", ".folder.0123456789ab.tmp"])
@pytest.mark.parametrize("old", [True, False])
def test_a_link_beside_a_folder_is_not_followed(tmp_path, outside, trap, old):
    if old:
        (tmp_path / "in/folder").mkdir(parents=True)
    plant(tmp_path / "in" / trap, outside, "symbolic")
    with files.folder(tmp_path / "in/folder", "saved model") as folder:
        (folder / "inside").touch()
    assert names(tmp_path / "in/folder") == ["inside"]
    assert not (tmp_path / "in/folder").is_symlink()


@KINDS
def test_a_leftover_that_is_a_link_is_removed_and_what_it_leads_to_is_not(tmp_path, outside, kind):
    plant(tmp_path / ".file.tmp", outside / "victim", kind)
    files.remove(tmp_path / ".file.tmp", "leftover")
    assert names(tmp_path) == ["outside"]


@KINDS
def test_a_lock_that_is_a_link_is_refused_and_not_read(tmp_path, outside, kind):
    plant(tmp_path / "it.lock", outside / "victim", kind)
    with pytest.raises(RunError, match=r"it\.lock is a link or not a plain file, so it is not used as a lock\. Remove"):
        locks.hold(tmp_path / "it.lock", "it").__enter__()
    with locks.hold(outside / "../free.lock", "it"):
        assert locks.holder(tmp_path / "it.lock") is None


def test_a_lock_that_is_a_pipe_is_refused_and_what_waits_in_it_is_not_shown(tmp_path):
    os.mkfifo(tmp_path / "it.lock")
    with pytest.raises(RunError, match=r"it\.lock is a link or not a plain file"):
        locks.hold(tmp_path / "it.lock", "it").__enter__()
    assert locks.holder(tmp_path / "it.lock") is None


def test_the_name_in_a_lock_is_shown_as_text(tmp_path):
    (tmp_path / "it.lock").write_bytes(b"1\x1b[2J on " + b"x" * 10_000)
    with locks.hold_folder(tmp_path, "it", 0), (tmp_path / "it.lock").open() as file:
        locks.try_lock(file.fileno(), otherwise=False)
        assert locks.holder(tmp_path / "it.lock") == "'1\\x1b[2J on " + 191 * "x" + "'"


@pytest.mark.parametrize("link", ["ticket.tfl", "other/../ticket.tfl"])
def test_saving_a_ticket_to_a_link_keeps_the_link(tmp_path, link):
    (tmp_path / "other").mkdir()
    (tmp_path / "ticket.tfl").symlink_to("elsewhere/first.tfl")
    for value in (1.0, 2.0):
        ticket = tfl.Ticket({}, {"final": {"w": np.array([value])}})
        tfl.save_ticket(tmp_path / link, ticket)
        assert (tmp_path / "ticket.tfl").readlink() == Path("elsewhere/first.tfl")
        assert tfl.load_ticket(tmp_path / "elsewhere/first.tfl").weights["final"]["w"] == value
    assert names(tmp_path / "elsewhere") == ["first.tfl"]


@KINDS
def test_a_planted_temporary_name_of_a_ticket_is_not_followed(tmp_path, outside, kind):
    plant(tmp_path / ".ticket.tfl.tmp", outside / "victim", kind)
    tfl.save_ticket(tmp_path / "ticket.tfl", fakes.TICKET)
    assert tfl.load_ticket(tmp_path / "ticket.tfl").masks["w"].tolist() == [True, False]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device to write to")
def test_what_is_neither_a_file_nor_a_link_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/full"):
        with pytest.raises(RunError, match=r"cannot be written: It is not a plain file"):
            tfl.save_ticket(path, fakes.TICKET)
    assert names(tmp_path) == ["pipe"]


def test_an_export_to_a_link_is_refused(tmp_path, outside):
    plant(tmp_path / "export", outside / "victim", "symbolic")
    plant(tmp_path / "dangling", outside / "none", "symbolic")
    for name in ("export", "dangling"):
        with pytest.raises(ExportError, match=rf"{name} is a symbolic link\. Give the file that it leads to\."):
            targets.write(tmp_path / name, bytes, overwrite=True)
    plant(tmp_path / ".file.tmp", outside / "victim", "symbolic")
    targets.write(tmp_path / "file", lambda: b"whole")


def test_an_export_that_another_process_has_written_meanwhile_stays(tmp_path):
    def make():
        (tmp_path / "file").write_bytes(b"of another process")
        return b"mine"

    with pytest.raises(ExportError, match=r"file exists\. Choose another name"):
        targets.write(tmp_path / "file", make)
    assert (tmp_path / "file").read_bytes() == b"of another process"


def acts(run):
    """Everything that writes into a run directory, by name."""
    return {
        "open": lambda: open_run.open_run(run.path, fakes.experiment(replicates=4), fakes.ENVIRONMENT),
        "lock the run": lambda: open_run.lock(run.path).__enter__(),
        "lock a replicate": lambda: run.lock(1).__enter__(),
        "tidy": lambda: run.tidy(UNIT),
        "save": lambda: fakes.save(run, UNIT, optimizer={"rewind": {"0000": np.zeros(1)}}),
        "save a checkpoint": lambda: [run.save_checkpoint(UNIT, step, fakes.TICKET) for step in (1, 2, 3)],
        "remove a checkpoint": lambda: run.remove_checkpoint(UNIT, 100),
        "report": lambda: run.write_report(lambda: {"index.html": b"<html></html>"}),
    }


IN_A_UNIT = ("tidy", "save", "save a checkpoint", "remove a checkpoint")
WRITES_THROUGH = {
    "replicate_1": ("lock a replicate", *IN_A_UNIT),
    "replicate_1/level_00": IN_A_UNIT,
    "report": ("report",),
}


@pytest.mark.parametrize("act", ["open", "lock the run", "lock a replicate", *IN_A_UNIT, "report"])
@pytest.mark.parametrize("trap", WRITES_THROUGH)
def test_no_folder_of_a_run_is_followed_if_it_is_a_link(tmp_path, outside, trap, act):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), fakes.ENVIRONMENT)
    plant(run.path / trap, outside / ("level_00" if trap.endswith("0") else ""), "symbolic")
    is_in_the_way = act in WRITES_THROUGH[trap]
    message = rf"{trap} is a symbolic link: nothing is written there\. Replace it by the folder itself\."
    with pytest.raises(RunError, match=message) if is_in_the_way else contextlib.nullcontext():
        acts(run)[act]()


FILES_OF_A_RUN = [
    *("config.json", "config.backup.json", "environment.json", "run.lock", "replicate_1/replicate.lock"),
    *("replicate_1/level_00/manifest.json", "replicate_1/level_00/ticket.tfl", "replicate_1/level_00/timing.json"),
    *("replicate_1/level_00/checkpoint_0000000001.tfl", "replicate_1/level_00/checkpoint_0000000100.tfl"),
    *("report/report.lock", "report/index.html"),
]


@KINDS
@pytest.mark.parametrize("name", FILES_OF_A_RUN)
@pytest.mark.parametrize("temporary", [False, True])
def test_no_file_of_a_run_is_followed_if_it_is_a_link(tmp_path, outside, name, kind, temporary):
    run = open_run.open_run(tmp_path / "run", fakes.experiment(), fakes.ENVIRONMENT)
    trap = run.path / name
    plant(trap.with_name(f".{trap.name}.tmp") if temporary else trap, outside / "victim", kind)
    for act in acts(run).values():
        with contextlib.suppress(LotteryError):  # that it is damaged, or finished already
            act()


def test_exports_of_a_run_do_not_follow_a_link(tmp_path, outside):
    from tf_lottery.export import run_exports

    run = fakes.run(tmp_path / "run", fakes.experiment(replicates=1, controls=()))
    plant(run.path / "exports", outside, "symbolic")
    with pytest.raises(RunError, match=r"exports is a symbolic link: nothing is written there"):
        run_exports.export(run, UNIT, "ticket")


def test_a_run_whose_own_path_is_a_link_is_used_as_any_other(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to("disk")
    run = fakes.run(tmp_path / "run")
    run.write_report(lambda: {"index.html": b"<html></html>"})
    assert (tmp_path / "disk/replicate_1/level_00/manifest.json").is_file()


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "x/" * 3000 + "x", ""])
def test_a_path_that_cannot_be_is_one_error(tmp_path, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = Path(path)
    for act in (
        lambda: tfl.save_ticket(path, fakes.TICKET),
        lambda: tfl.load_ticket(path),
        lambda: targets.write(given, bytes, overwrite=True),
        lambda: files.folder(given, "saved model").__enter__(),
        lambda: Run.load(path),
        lambda: locks.hold(given / "it.lock", "it").__enter__() if path else tfl.load_ticket(path),
        lambda: open_run.open_run(path, fakes.experiment(), {}) if path else tfl.load_ticket(path),
    ):
        with pytest.raises((RunError, TicketError, ExportError)):
            act()
    assert names(tmp_path) == []


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(RunError):
        Run.load(tmp_path)
    with pytest.raises(TicketError):
        tfl.load_ticket(tmp_path / "config.json")
