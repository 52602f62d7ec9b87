import contextlib
import hashlib
import json
import threading

import fakes
import numpy as np
import pytest

from tf_lottery import failpoints, files, locks
from tf_lottery.errors import DamageError, RunError
from tf_lottery.experiment import backups, config as config_lib, open_run, storage
from tf_lottery.experiment.config import Prune
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.training import progress


@pytest.fixture
def run(tmp_path):
    return open_run.open_run(tmp_path / "run", fakes.experiment(), fakes.ENVIRONMENT)


def names_of_files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_files_are_where_the_readme_says(run):
    fakes.save(run, Unit(1, 0), optimizer={"rewind": {"0000": np.zeros(1)}})
    fakes.save(run, Unit(1, 2, "random_mask"))
    assert names_of_files(run.path) == [
        "config.backup.json",
        "config.json",
        "environment.backup.json",
        "environment.json",
        "replicate_1/controls/random_mask/level_02/history.csv",
        "replicate_1/controls/random_mask/level_02/manifest.json",
        "replicate_1/controls/random_mask/level_02/metrics.json",
        "replicate_1/controls/random_mask/level_02/ticket.tfl",
        "replicate_1/controls/random_mask/level_02/timing.json",
        "replicate_1/level_00/history.csv",
        "replicate_1/level_00/manifest.json",
        "replicate_1/level_00/metrics.json",
        "replicate_1/level_00/optimizer.tfl",
        "replicate_1/level_00/ticket.tfl",
        "replicate_1/level_00/timing.json",
    ]


def test_saved_results_can_be_read_back(run):
    unit = Unit(2, 1, "reinit")
    assert not run.is_done(unit)
    fakes.save(run, unit, optimizer={"final": {"0000": np.arange(3)}})
    again = Run.load(run.path)
    assert again.is_done(unit)
    assert again.config == fakes.experiment()
    assert again.environments() == [fakes.ENVIRONMENT]
    assert again.ticket(unit).masks["w"].tolist() == [True, False]
    assert again.optimizer(unit, "final")["0000"].tolist() == [0, 1, 2]
    assert again.history(unit).validation_loss.tolist() == [0.2]
    assert again.metrics(unit)["test_accuracy"] == 0.9
    assert again.seconds(unit) == 1.5


class Killed(BaseException):
    """Raised in place of a SIGKILL."""


@pytest.mark.parametrize("moment", failpoints.WRITING)
@pytest.mark.parametrize("site", ["metrics", "history", "optimizer", "ticket", "timing", "manifest"])
def test_a_unit_is_finished_and_whole_when_its_manifest_exists(run, monkeypatch, site, moment):
    def reach(*place):
        if place == (site, moment):
            raise Killed

    optimizer = {"rewind": {"0000": np.zeros(1)}}
    monkeypatch.setattr(failpoints, "reach", reach)
    with pytest.raises(Killed):
        fakes.save(run, Unit(1, 0), optimizer=optimizer)
    monkeypatch.undo()
    assert run.is_done(Unit(1, 0)) == (site == "manifest" and moment in ("renamed", "done"))
    run.tidy(Unit(1, 0))
    if not run.is_done(Unit(1, 0)):
        fakes.save(run, Unit(1, 0), optimizer=optimizer)
    assert [(path.name, fault) for path, fault in run.verify(Unit(1, 0))] == [
        (name, "") for name in ("manifest.json", "history.csv", "metrics.json", "optimizer.tfl", "ticket.tfl")
    ]
    assert not [name for name in names_of_files(run.path) if ".tmp" in name]


def test_results_are_never_overwritten(run):
    fakes.save(run, Unit(1, 0))
    with pytest.raises(RunError, match=r"results are never overwritten"):
        fakes.save(run, Unit(1, 0))


@pytest.mark.parametrize("name", ["ticket.tfl", "history.csv", "metrics.json", "optimizer.tfl"])
def test_a_damaged_file_is_found_and_the_error_says_what_to_do(run, name):
    unit = Unit(1, 0)
    fakes.save(run, unit, optimizer={"rewind": {"0000": np.zeros(1)}})
    read = {
        "ticket.tfl": run.ticket,
        "history.csv": run.history,
        "metrics.json": run.metrics,
        "optimizer.tfl": lambda unit: run.optimizer(unit, "rewind"),
    }[name]
    path = run.folder(unit) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    message = rf"level_00.{name} is damaged: its checksum does not match. Delete .*level_00 to have it redone\.$"
    with pytest.raises(DamageError, match=message):
        read(unit)
    assert [path.name for path, fault in run.verify(unit) if fault] == [name]
    path.unlink()
    with pytest.raises(DamageError, match=r"cannot be read: No such file or directory. Delete .*level_00 to have it"):
        read(unit)
    assert [path.name for path, fault in run.verify(unit) if fault] == [name]


def test_reading_an_unfinished_unit_is_an_error(run):
    with pytest.raises(RunError, match=r"replicate_1/controls/reinit/level_03 is not finished"):
        run.metrics(Unit(1, 3, "reinit"))


@pytest.mark.parametrize("content", ["{", "{}", '"text"', "\xff"])
def test_a_damaged_config_with_a_damaged_backup_is_named(run, content):
    for path in backups.paths(run.path, "config"):
        path.write_text(content)
    with pytest.raises(DamageError, match=r"config.json is damaged: it has no checksum at its end. So is its backup"):
        Run.load(run.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.name": "mine"}, "Unknown model 'mine'"),
        ({"nonsense": 1}, "Unknown or missing fields: nonsense"),
        ({"replicates": None}, "`replicates` must be a whole number"),
        ({"train.learning_rate": 1e400}, "`train.learning_rate` must be a number"),
    ],
)
def test_a_config_with_unknown_names_or_values_is_refused(run, change, message):
    content = {"format": storage.FORMAT} | config_lib.fields(run.config) | change
    content = json.dumps(content, indent=2).replace("Infinity", "1e400").encode() + b"\n"
    checksum = hashlib.sha256(content).hexdigest()
    sealed_by_hand = content[:-3] + b',\n  "sha256": "%s"\n}\n' % checksum.encode()
    (run.path / "config.json").write_bytes(sealed_by_hand)
    with pytest.raises(RunError, match=rf"config.json cannot be used here: {message}.* --plugins=MODULE"):
        Run.load(run.path)


def test_a_run_that_was_killed_before_it_had_a_config_can_start_again(tmp_path):
    (tmp_path / "run.lock").write_text("1")
    backups.write(tmp_path, "environment", {"environments": [{"of": "the process that was killed"}]})
    (tmp_path / ".config.json.tmp").write_text("{")
    run = open_run.open_run(tmp_path, fakes.experiment(), fakes.ENVIRONMENT)
    assert run.config == fakes.experiment()
    assert run.environments() == [fakes.ENVIRONMENT]


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"sha256": {}}'])
def test_a_damaged_manifest_is_named_and_the_error_says_what_to_do(run, content):
    fakes.save(run, Unit(1, 0))
    (run.path / "replicate_1/level_00/manifest.json").write_text(content)
    for read in (run.metrics, run.ticket, run.history):
        with pytest.raises(DamageError, match=r"manifest.json is damaged: .*end. Delete .*level_00 to have it redone"):
            read(Unit(1, 0))
    assert [path.name for path, fault in run.verify(Unit(1, 0)) if fault] == ["manifest.json"]


@pytest.mark.parametrize("name", ["../../config.json", "/etc/hostname", "a/b"])
def test_a_manifest_names_files_beside_it_and_no_others(run, name):
    fakes.save(run, Unit(1, 0))
    path = run.path / "replicate_1/level_00/manifest.json"
    manifest = files.unseal(path.read_bytes())
    manifest["files"][name] = manifest["files"]["ticket.tfl"]
    path.write_bytes(files.seal(manifest))
    with pytest.raises(DamageError, match=r"manifest.json is damaged: `files` must name files of its folder"):
        run.ticket(Unit(1, 0))


@pytest.mark.parametrize("content", [None, "", "[" * 10_000, "[]", "{}", '{"seconds": "1"}', '{"seconds": NaN}'])
def test_a_damaged_record_of_the_duration_is_ignored(run, content):
    fakes.save(run, Unit(1, 0))
    path = run.path / "replicate_1/level_00/timing.json"
    path.unlink() if content is None else path.write_text(content)
    assert run.seconds(Unit(1, 0)) is None
    assert not [fault for _, fault in run.verify(Unit(1, 0)) if fault]


def test_the_two_newest_checkpoints_stay_until_the_unit_is_finished(run):
    unit = Unit(2, 1)
    assert run.checkpoint_steps(unit) == []
    for step in (100, 1000, 200, 300):
        run.save_checkpoint(unit, step, fakes.state(step))
    assert run.checkpoint_steps(unit) == [1000, 300]
    assert names_of_files(run.folder(unit)) == ["checkpoint_0000000300.tfl", "checkpoint_0000001000.tfl"]
    found, variables, by_replica = progress.unpack(run.checkpoint(unit, 300))
    expected, _, _ = progress.unpack(fakes.state(300))
    assert (found.step, found.history, found.losses) == (300, expected.history, expected.losses)
    assert variables["optimizer"]["0000"] == 300
    assert by_replica["bias"].shape == (2, 3)
    run.remove_checkpoint(unit, 1000)
    assert run.checkpoint_steps(unit) == [300]
    fakes.save(run, unit)
    assert run.checkpoint_steps(unit) == []


def test_a_checkpoint_of_another_unit_or_experiment_is_refused(run, tmp_path):
    unit = Unit(2, 1)
    run.save_checkpoint(unit, 100, fakes.state(100))
    other = open_run.open_run(tmp_path / "other", fakes.experiment(seed=1), fakes.ENVIRONMENT)
    for stranger, place in ((run, Unit(2, 2)), (run, Unit(1, 1)), (run, Unit(2, 1, "reinit")), (other, unit)):
        path = stranger.checkpoint_path(place, 100)
        path.parent.mkdir(parents=True)
        path.write_bytes(run.checkpoint_path(unit, 100).read_bytes())
        with pytest.raises(DamageError, match=r"checkpoint_0000000100.tfl is damaged: it belongs to another unit\.$"):
            stranger.checkpoint(place, 100)
        assert [fault for _, fault in stranger.verify(place)] != [""]
    longer = open_run.open_run(run.path, fakes.experiment(replicates=9), fakes.ENVIRONMENT)
    assert longer.checkpoint(unit, 100).metadata["step"] == 100  # the same experiment, extended


def test_a_checkpoint_with_unknown_arrays_or_shapes_is_refused(run):
    run.save_checkpoint(Unit(1, 0), 100, fakes.state(100))
    group = {"w": (2,), "bias": (3,)}
    shapes = {"weights": group, "optimizer": {"0000": (), "0001": (2,)}, "masks": {"w": (2,)}}
    whole = progress.shapes({name: shapes[name] for name in ("weights", "optimizer")}, [20], {"w": (2,)}, replicas=2)
    assert run.checkpoint(Unit(1, 0), 100, whole).metadata["step"] == 100
    with pytest.raises(DamageError, match=r"is damaged: 'w' among the snapshot 20 weights is unknown here\.$"):
        run.checkpoint(Unit(1, 0), 100, shapes)
    with pytest.raises(DamageError, match=r"is damaged: 'bias' among the replicas has shape \[2, 3\], expected"):
        run.checkpoint(Unit(1, 0), 100, whole | {"replicas": {"bias": (4, 3)}})


def test_tidying_removes_leftovers_and_nothing_else(run):
    run.tidy(Unit(1, 0))
    run.save_checkpoint(Unit(1, 0), 100, fakes.state(100))
    for name in (".checkpoint_0000000200.tfl.tmp", ".ticket.tfl.tmp", "note.txt"):
        (run.folder(Unit(1, 0)) / name).touch()
    run.tidy(Unit(1, 0))
    assert names_of_files(run.folder(Unit(1, 0))) == ["checkpoint_0000000100.tfl", "note.txt"]


def test_a_checkpoint_that_is_removed_during_verification_is_not_a_fault(run, monkeypatch):
    for step in (100, 200):
        run.save_checkpoint(Unit(1, 0), step, fakes.state(step))
    found = run.verify(Unit(1, 0))
    assert next(found) == (run.checkpoint_path(Unit(1, 0), 200), "")
    run.remove_checkpoint(Unit(1, 0), 100)
    assert list(found) == []


def test_nan_is_stored_as_null_in_strict_json(run):
    fakes.save(run, Unit(1, 0), metrics={**fakes.metrics(Unit(1, 0)), "test_loss": float("nan")})
    assert run.metrics(Unit(1, 0))["test_loss"] is None
    assert "NaN" not in (run.path / "replicate_1/level_00/metrics.json").read_text()


def test_a_path_that_is_too_long_is_one_error(tmp_path):
    with pytest.raises(RunError, match="cannot be read: File name too long"):
        open_run.existing_run(tmp_path / ("x" * 300), fakes.experiment())


def test_loading_a_directory_without_a_run_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"is not a run directory: it has no readable config.json"):
        Run.load(tmp_path / "nothing")


def test_a_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=r"exists and is not a run directory. Choose a new or an empty one"):
        open_run.open_run(tmp_path, fakes.experiment(), {})
    assert names_of_files(tmp_path) == ["thesis.txt"]


def test_a_path_that_cannot_be_a_directory_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written: Not a directory"):
        open_run.open_run(tmp_path / "file" / "run", fakes.experiment(), {})


@pytest.mark.parametrize(
    "more", [{"replicates": 4}, {"prune": Prune(levels=3)}, {"controls": ("random_mask", "reinit")}]
)
def test_more_levels_replicates_or_controls_extend_a_run(tmp_path, more):
    open_run.open_run(tmp_path / "run", fakes.experiment(controls=("reinit",)), {})
    asked = fakes.experiment(**{"controls": ("reinit",), **more})
    assert open_run.open_run(tmp_path / "run", asked, {}).config == asked
    assert Run.load(tmp_path / "run").config == asked


def test_fewer_controls_leave_a_run_as_it_is(run):
    before = (run.path / "config.json").read_bytes()
    open_run.open_run(run.path, fakes.experiment(controls=("reinit",)), fakes.ENVIRONMENT)
    assert (run.path / "config.json").read_bytes() == before


def test_a_run_only_grows(run):
    asked = fakes.experiment(replicates=1, controls=(), prune=Prune(levels=5))
    assert open_run.open_run(run.path, asked).config == fakes.experiment(prune=Prune(levels=5))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, r"another experiment: seed=0 \(run\), seed=1 \(asked for\)"),
        ({"prune": Prune(levels=2, fraction=0.5)}, r"prune.fraction=0.2 \(run\), prune.fraction=0.5"),
    ],
)
def test_another_experiment_is_refused_with_the_difference(run, other, message):
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(RunError, match=message):
        open_run.open_run(run.path, fakes.experiment(**other), {})
    assert (run.path / "config.json").read_bytes() == before


def test_a_directory_can_be_locked_before_it_is_a_run(tmp_path):
    with open_run.lock(tmp_path / "run"):
        open_run.open_run(tmp_path / "run", fakes.experiment(), {})
    with pytest.raises(RunError, match=r"cannot be written: File exists"):
        open_run.lock(tmp_path / "run" / "config.json").__enter__()


def test_a_run_that_was_moved_away_is_not_created_again_by_later_writes(run, tmp_path):
    unit = Unit(1, 0)
    run.path.rename(tmp_path / "elsewhere")
    for write in (
        lambda: fakes.save(run, unit),
        lambda: run.save_checkpoint(unit, 3, fakes.TICKET),
        lambda: run.write_report(dict),
    ):
        with pytest.raises(
            RunError, match=r"was moved or deleted while it was in use. Find it, and give its new path as"
        ):
            write()
    assert not run.path.exists()


def test_a_unit_whose_folder_is_a_file_cannot_be_stored(run):
    (run.path / "replicate_1").mkdir()
    (run.path / "replicate_1/level_00").write_text("x")
    run.tidy(Unit(1, 0))
    with pytest.raises(RunError, match=r"level_00/history.csv cannot be written: "):
        fakes.save(run, Unit(1, 0))


def test_the_report_is_replaced_whole(run, monkeypatch):
    run.write_report(lambda: {"a.txt": b"old"})
    folder = run.write_report(lambda: {"a.txt": b"new"})
    assert (folder / "a.txt").read_bytes() == b"new"
    assert names_of_files(folder) == ["a.txt", "report.lock"]
    monkeypatch.setattr(storage, "_PATIENCE_WITH_REPORTS", 0.1)
    with (
        locks.hold(folder / "report.lock", "it"),
        pytest.raises(RunError, match=r"is working on the report of .*run; wait"),
    ):
        run.write_report(lambda: {"a.txt": b"newer"})
    assert (folder / "a.txt").read_bytes() == b"new"


def test_two_commands_that_end_at_once_write_their_reports_in_turn(run):
    folder = run.write_report(lambda: {"a.txt": b"one"})
    with contextlib.ExitStack() as other:
        other.enter_context(locks.hold(folder / "report.lock", "it"))
        threading.Timer(0.6, other.close).start()
        run.write_report(lambda: {"a.txt": b"two"})
    assert (folder / "a.txt").read_bytes() == b"two"


def test_a_manifest_holds_size_and_checksum_of_the_other_files_and_names_its_unit(run):
    fakes.save(run, Unit(1, 1, "reinit"))
    folder = run.path / "replicate_1/controls/reinit/level_01"
    content = files.unseal((folder / "manifest.json").read_bytes())
    assert [content[name] for name in ("replicate", "level", "control")] == [1, 1, "reinit"]
    assert content["experiment"] == config_lib.fingerprint(run.config)
    for name, entry in content["files"].items():
        data = (folder / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert set(content["files"]) == {"ticket.tfl", "history.csv", "metrics.json"}


def test_a_worker_that_cannot_see_the_run_of_the_chief_is_refused(tmp_path):
    with pytest.raises(
        RunError, match=r"does not exist here, although the chief has created it. All workers need the same"
    ):
        open_run.opened_by_chief(tmp_path / "run", fakes.experiment())
    open_run.open_run(tmp_path / "run", fakes.experiment(), {})
    assert open_run.opened_by_chief(tmp_path / "run", fakes.experiment()).config == fakes.experiment()
    with pytest.raises(
        RunError, match=r"asked for less than this worker, or in another order .*Give all workers the same command"
    ):
        open_run.opened_by_chief(tmp_path / "run", fakes.experiment(replicates=4))


@pytest.mark.parametrize("changes", [{"format": 3}, {"format": None}, {}])
def test_a_run_in_another_format_is_refused(run, changes):
    content = files.unseal((run.path / "config.json").read_bytes())
    del content["format"]
    (run.path / "config.json").write_bytes(files.seal({**changes, **content}))
    found = changes.get("format", 1)
    with pytest.raises(RunError, match=f"is in run format {found}, of another version of tf_lottery; this version"):
        Run.load(run.path)
