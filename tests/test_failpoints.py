"""Every write and every removal has failpoints, and only files.py writes and removes files."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pytest

import tf_lottery
from tf_lottery import failpoints, files
from tf_lottery.experiment.storage import Unit
from tf_lottery.masking import ticket

ROOT = Path(tf_lottery.__file__).parent
FILES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}

# Places that compute their site, with all sites that they use; a test below compares these with a run.
COMPUTED = {
    ("experiment/storage.py", "name.partition('.')[0]"): {"ticket", "optimizer", "history", "line", "metrics"},
    ("experiment/backups.py", "name"): {"config", "environment"},
}
# Calls outside files.py that change files, or look as if they did, and why they are allowed.
ALLOWED = {
    ("locks.py", "path.parent.mkdir"): "a lock file is not a result: its content does not matter",
    ("locks.py", "os.open"): "the same",
    ("locks.py", "file.truncate"): "the same",
    ("cli.py", "os.open"): "/dev/null, in the place of a closed stream",
    ("cli.py", "open"): "the same",
    ("quiet.py", "os.open"): "/dev/null, for the messages of TensorFlow",
    ("report/figures/style.py", "draw().savefig"): "into memory",
    ("callbacks/pruned_levels.py", "self._store.open"): "not a file",
    ("callbacks/density_summaries.py", "tf.summary.create_file_writer"): "TensorBoard's own log",
    ("export/run_exports.py", "tempfile.TemporaryDirectory"): "a temporary file, because Keras saves only to a path",
    ("export/run_exports.py", "model.save"): "into the folder above",
    ("export/comparison.py", "tempfile.TemporaryDirectory"): "exports of a model, to be measured",
    ("export/comparison.py", "tarfile.open"): "into memory",
    ("data/debian.py", "tempfile.TemporaryDirectory"): "archives to prepare a dataset from, checked by their checksums",
}
OF_OS = (
    "open remove unlink rename renames replace mkdir makedirs rmdir removedirs truncate ftruncate link symlink write"
)
OF_OTHERS = """
    write_bytes write_text unlink rmdir mkdir touch symlink_to hardlink_to truncate tofile savetxt savez
    savez_compressed savefig to_pickle to_parquet to_json create_file_writer write_file memmap
"""


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def changes_files(call):
    """Whether a call changes files, or may change them."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and opens_for_writing(call.args[1:2], call.keywords)
    if not isinstance(call.func, ast.Attribute):
        return False
    owner, name = ast.unparse(call.func.value), call.func.attr
    if owner == "os":
        return name in OF_OS.split()
    if owner in ("shutil", "tempfile"):
        return True
    if name == "open":
        return opens_for_writing(call.args[:1], call.keywords)
    if name in ("rename", "replace"):  # of a path; those of texts, frames and dataclasses take more, or keywords
        return len(call.args) == 1 and not call.keywords
    if name == "to_csv":
        return bool(call.args)
    if name == "save":
        return owner in ("np", "numpy", "json", "model")
    return name in OF_OTHERS.split()


def opens_for_writing(mode, keywords):
    modes = [*mode, *(keyword.value for keyword in keywords if keyword.arg == "mode")]
    return any(not isinstance(mode, ast.Constant) or set(str(mode.value)) & set("wax+") for mode in modes)


def sites(tree, function):
    """The sites in calls of a function of `files`: (text, True), or (source of an expression, False)."""
    place = {"write": 2, "remove": 1, "folder": 1}[function]
    for call in calls(tree):
        if ast.unparse(call.func) == f"files.{function}":
            site = next((word.value for word in call.keywords if word.arg == "site"), None) or call.args[place]
            yield site.value if isinstance(site, ast.Constant) else ast.unparse(site), isinstance(site, ast.Constant)


def all_sites(function):
    found = set()
    for name, tree in FILES.items():
        for site, is_literal in sites(tree, function):
            found |= {site} if is_literal else COMPUTED[name, site]
    return found


def test_the_registry_has_the_site_of_every_write_and_removal_and_no_other():
    assert all_sites("write") == set(failpoints.WRITTEN)
    assert all_sites("remove") == set(failpoints.REMOVED)
    assert all_sites("folder") == set(failpoints.FILLED)
    assert len(set(failpoints.names())) == len(failpoints.names()) == 6 * 17 + 2 * 3 + 7


def test_computed_sites_are_those_of_the_registry(tmp_path, monkeypatch):
    reached = set()
    monkeypatch.setattr(failpoints, "reach", lambda site, moment: reached.add(f"{site}: {moment}"))
    config = fakes.experiment(replicates=1, controls=("random_mask", "reinit"))
    line = [{"share": 0.0, "test_error": 0.1, "test_loss": 0.2}]
    run = fakes.run(tmp_path / "run", config, optimizer={"rewind": {"0000": np.zeros(1)}}, line=line)
    for step in (100, 200, 300):
        run.save_checkpoint(Unit(1, 3), step, fakes.TICKET)
    run.folder(Unit(1, 3)).joinpath(".ticket.tfl.tmp").touch()
    run.tidy(Unit(1, 3))
    run.write_report(lambda: {"index.html": b""})
    ticket.save_ticket(tmp_path / "ticket.tfl", fakes.TICKET)
    elsewhere = [name for name in failpoints.names() if name.startswith(("callback", *failpoints.EXPORTED))]
    assert sorted(reached) == sorted(set(failpoints.names()) - set(elsewhere))


@pytest.mark.parametrize("name", FILES)
def test_files_are_changed_in_one_module(name):
    if name == "files.py":
        return
    for call in calls(FILES[name]):
        if changes_files(call):
            source = ast.unparse(call.func)
            assert (name, source) in ALLOWED, f"line {call.lineno}: {source} changes files; use files.write or remove"
    for node in ast.walk(FILES[name]):
        if isinstance(node, ast.ImportFrom):
            assert node.module not in ("os", "shutil", "tempfile", "tf_lottery.files"), f"line {node.lineno}"
            assert not any(alias.name == "files" and alias.asname for alias in node.names), f"line {node.lineno}"


def test_every_allowed_call_exists():
    for name, source in ALLOWED:
        assert source in [ast.unparse(call.func) for call in calls(FILES[name]) if changes_files(call)], (name, source)
    for name, source in COMPUTED:
        assert source in [site for site, _ in sites(FILES[name], "write")], (name, source)


@pytest.mark.parametrize(
    "source",
    [
        *("path.write_bytes(x)", "path.write_text(x)", "path.unlink()", "path.rename(other)", "path.replace(other)"),
        *("open(path, 'w')", "open(path, mode='ab')", "path.open('r+')", "path.open(mode)", "os.open(path, flags)"),
        *("os.replace(a, b)", "os.remove(a)", "shutil.rmtree(path)", "path.mkdir(parents=True)", "path.touch()"),
        *("frame.to_csv(path)", "np.save(path, array)", "array.tofile(path)", "tempfile.mkstemp()"),
    ],
)
def test_calls_that_change_files_are_recognised(source):
    assert any(map(changes_files, calls(ast.parse(source))))


@pytest.mark.parametrize(
    "source",
    [
        *("open(path)", "open(path, 'rb')", "path.open()", "path.open('rb')", "text.replace('a', 'b')"),
        *("dataclasses.replace(config, seed=1)", "frame.rename(columns=names)", "frame.to_csv(index=False)"),
    ],
)
def test_calls_that_read_files_are_allowed(source):
    assert not any(map(changes_files, calls(ast.parse(source))))


def test_literal_and_computed_sites_are_told_apart():
    assert list(sites(ast.parse("files.write(path, content, 'new')"), "write")) == [("new", True)]
    assert list(sites(ast.parse("files.remove(path, site=name)"), "remove")) == [("name", False)]


WRITES = (
    "import sys; from pathlib import Path; from tf_lottery import files\n"
    "path = Path(sys.argv[1])\n"
    "for content in (b'first', b'second', b'third'):\n"
    "    files.write(path, content, 'report')\n"
    "    print(content.decode(), flush=True)\n"
    "files.remove(path, 'leftover')\n"
    "print('removed', flush=True)"
)


FILLS = (
    "import sys; from pathlib import Path; from tf_lottery import files\n"
    "path = Path(sys.argv[1])\n"
    "for content in ('first', 'second'):\n"
    "    with files.folder(path, 'saved model') as folder:\n"
    "        (folder / 'inside').mkdir()\n"
    "        (folder / 'inside/file').write_text(content)\n"
    "    print(content, flush=True)\n"
)


def written(path, failpoint, code=WRITES):
    """The exit status of one of the processes above, and what it printed."""
    environment = os.environ | {failpoints.VARIABLE: failpoint}
    done = subprocess.run([sys.executable, "-c", code, path], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize("moment", failpoints.WRITING)
def test_a_process_is_killed_at_the_failpoint_and_leaves_the_file_whole(tmp_path, moment):
    path = tmp_path / "file"
    assert written(path, f"report: {moment} 2") == (-signal.SIGKILL, ["first"])
    assert path.read_bytes() == (b"second" if moment in ("renamed", "done") else b"first")
    assert all(files.is_leftover(other) for other in tmp_path.iterdir() if other != path)


@pytest.mark.parametrize("moment", failpoints.FILLING)
def test_a_process_is_killed_at_the_failpoint_and_leaves_the_folder_whole(tmp_path, moment):
    path, times = tmp_path / "folder", "" if moment == "put aside" else " 2"
    assert written(path, f"saved model: {moment}{times}", FILLS) == (-signal.SIGKILL, ["first"])
    left = tmp_path / ".folder.old.tmp" if moment == "put aside" else path
    assert (left / "inside/file").read_text() == ("second" if moment in ("renamed", "done") else "first")
    assert path.exists() == (moment != "put aside")
    assert all(files.is_leftover(other) for other in tmp_path.iterdir() if other != path)
    assert written(path, "", FILLS) == (0, ["first", "second"])
    assert [other.name for other in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("failpoint", "done"),
    [
        ("report: begins", []),
        ("report: begins 1", []),
        ("report: done 3", ["first", "second"]),
        ("leftover: begins", ["first", "second", "third"]),
        ("leftover: done", ["first", "second", "third"]),
    ],
)
def test_a_process_is_killed_at_the_first_time_or_the_given_one(tmp_path, failpoint, done):
    assert written(tmp_path / "file", failpoint) == (-signal.SIGKILL, done)
    assert (tmp_path / "file").exists() == (failpoint not in ("report: begins", "report: begins 1", "leftover: done"))


@pytest.mark.parametrize("failpoint", ["", "report: begins 4", "manifest: begins"])
def test_a_process_without_a_failpoint_or_with_one_that_it_does_not_pass_survives(tmp_path, failpoint):
    assert written(tmp_path / "file", failpoint) == (0, ["first", "second", "third", "removed"])


@pytest.mark.parametrize("failpoint", ["report", "reprot: begins", "report: begin 2"])
def test_an_unknown_failpoint_is_refused(tmp_path, failpoint):
    assert written(tmp_path / "file", failpoint) == (1, [])
