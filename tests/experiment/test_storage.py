import json
import os
import subprocess
import sys

import made_up
import numpy as np
import pytest

from tf_lottery import files as files_lib
from tf_lottery.errors import RunError
from tf_lottery.experiment import opening, storage
from tf_lottery.experiment.config import Prune
from tf_lottery.experiment.storage import Run, Unit


@pytest.fixture
def run(tmp_path):
    return opening.open_run(tmp_path / "run", made_up.experiment(), made_up.ENVIRONMENT)


def files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_files_stand_where_the_readme_says(run):
    made_up.save(run, Unit(1, 0), optimizer={"rewind": {"0000": np.zeros(1)}})
    made_up.save(run, Unit(1, 2, "random_mask"))
    assert files(run.path) == [
        "config.json",
        "environment.json",
        "replicate_1/controls/random_mask/level_02/history.csv",
        "replicate_1/controls/random_mask/level_02/metrics.json",
        "replicate_1/controls/random_mask/level_02/ticket.tfl",
        "replicate_1/controls/random_mask/level_02/timing.json",
        "replicate_1/level_00/history.csv",
        "replicate_1/level_00/metrics.json",
        "replicate_1/level_00/optimizer.tfl",
        "replicate_1/level_00/ticket.tfl",
        "replicate_1/level_00/timing.json",
    ]


def test_what_is_saved_comes_back(run):
    unit = Unit(2, 1, "reinit")
    assert not run.is_done(unit)
    made_up.save(run, unit, optimizer={"final": {"0000": np.arange(3)}})
    again = Run.load(run.path)
    assert again.is_done(unit)
    assert again.config == made_up.experiment()
    assert again.environment() == made_up.ENVIRONMENT
    assert again.ticket(unit).masks["w"].tolist() == [True, False]
    assert again.optimizer(unit, "final")["0000"].tolist() == [0, 1, 2]
    assert again.history(unit).validation_loss.tolist() == [0.2]
    assert again.metrics(unit)["test_accuracy"] == 0.9


def test_a_level_is_done_only_when_its_metrics_are_there(run, monkeypatch):
    write = files_lib.write

    def dies_at_metrics(path, content):
        if path.name == "metrics.json":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(files_lib, "write", dies_at_metrics)
    with pytest.raises(KeyboardInterrupt):
        made_up.save(run, Unit(1, 0))
    assert not run.is_done(Unit(1, 0))
    monkeypatch.undo()
    made_up.save(run, Unit(1, 0))
    assert run.is_done(Unit(1, 0))


def test_a_write_that_fails_leaves_the_old_file(run, monkeypatch):
    before = (run.path / "config.json").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"config.json cannot be written: No space left on device"):
        opening.open_run(run.path, made_up.experiment(replicates=9), {})
    assert (run.path / "config.json").read_bytes() == before


def test_results_are_never_written_twice(run):
    made_up.save(run, Unit(1, 0))
    with pytest.raises(RunError, match=r"never written twice"):
        made_up.save(run, Unit(1, 0))


@pytest.mark.parametrize("name", ["ticket.tfl", "history.csv"])
def test_a_damaged_file_is_found_and_the_way_out_named(run, name):
    made_up.save(run, Unit(1, 0))
    path = run.path / "replicate_1/level_00" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    read = {"ticket.tfl": run.ticket, "history.csv": run.history}[name]
    with pytest.raises(
        RunError, match=rf"{name} is damaged: its checksum does not match. Delete .*level_00 to have it"
    ):
        read(Unit(1, 0))


def test_reading_what_is_not_done_says_so(run):
    with pytest.raises(RunError, match=r"replicate 1, level 3, reinit is not done"):
        run.metrics(Unit(1, 3, "reinit"))


@pytest.mark.parametrize("content", ["{", '{"nonsense.field": 1}', '{"nonsense": 1}', '"text"'])
def test_a_damaged_config_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"config.json is damaged"):
        Run.load(tmp_path)


def test_a_config_of_impossible_values_is_named(run):
    path = run.path / "config.json"
    path.write_text(path.read_text().replace('"replicates": 3', '"replicates": null'))
    with pytest.raises(RunError, match=r"config.json is damaged: `replicates` must be a whole number"):
        Run.load(run.path)
    path.write_bytes(b"\xff")
    with pytest.raises(RunError, match=r"config.json is damaged"):
        Run.load(run.path)


def test_a_run_that_was_killed_before_it_had_a_config_can_start_again(tmp_path):
    (tmp_path / "run.lock").write_text("1")
    (tmp_path / "environment.json").write_text("{}")
    (tmp_path / ".config.json.tmp").write_text("{")
    assert opening.open_run(tmp_path, made_up.experiment(), {}).config == made_up.experiment()


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"sha256": {}}'])
def test_damaged_metrics_are_named_with_the_way_out(run, content):
    made_up.save(run, Unit(1, 0))
    (run.path / "replicate_1/level_00/metrics.json").write_text(content)
    for read in (run.metrics, run.ticket):
        with pytest.raises(RunError, match=r"metrics.json is damaged. Delete .*level_00 to have it redone"):
            read(Unit(1, 0))


def test_a_missing_file_is_named_with_the_way_out(run):
    made_up.save(run, Unit(1, 0))
    (run.path / "replicate_1/level_00/ticket.tfl").unlink()
    with pytest.raises(
        RunError, match=r"cannot be read: No such file or directory. Delete .*level_00 to have it redone"
    ):
        run.ticket(Unit(1, 0))


@pytest.mark.parametrize("content", [None, "", "[]"])
def test_a_run_does_without_the_record_of_its_environment(run, content):
    path = run.path / "environment.json"
    path.unlink() if content is None else path.write_text(content)
    assert run.environment() == {"environment.json": "missing or damaged"}


def test_what_is_not_a_number_is_stored_as_strict_json(run):
    made_up.save(run, Unit(1, 0), metrics={**made_up.metrics(Unit(1, 0)), "test_loss": float("nan")})
    assert run.metrics(Unit(1, 0))["test_loss"] is None
    assert "NaN" not in (run.path / "replicate_1/level_00/metrics.json").read_text()


def test_a_name_that_no_file_can_have_is_one_error(tmp_path):
    with pytest.raises(RunError, match="cannot be read: File name too long"):
        opening.existing_run(tmp_path / ("x" * 300), made_up.experiment())


def test_a_directory_without_a_run_is_named(tmp_path):
    with pytest.raises(RunError, match=r"is not a run directory: it has no readable config.json"):
        Run.load(tmp_path / "nothing")


def test_a_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=r"exists and is not a run directory. Choose a new or an empty one"):
        opening.open_run(tmp_path, made_up.experiment(), {})
    assert files(tmp_path) == ["thesis.txt"]


def test_a_path_that_cannot_be_a_directory_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written: Not a directory"):
        opening.open_run(tmp_path / "file" / "run", made_up.experiment(), {})


@pytest.mark.parametrize(
    "more", [{"replicates": 4}, {"prune": Prune(levels=3)}, {"controls": ("random_mask", "reinit")}]
)
def test_more_levels_replicates_or_controls_extend_a_run(tmp_path, more):
    opening.open_run(tmp_path / "run", made_up.experiment(controls=("reinit",)), {})
    asked = made_up.experiment(**{"controls": ("reinit",), **more})
    assert opening.open_run(tmp_path / "run", asked, {}).config == asked
    assert Run.load(tmp_path / "run").config == asked


def test_a_run_only_grows(run):
    asked = made_up.experiment(replicates=1, controls=(), prune=Prune(levels=5))
    assert opening.open_run(run.path, asked, {}).config == made_up.experiment(prune=Prune(levels=5))


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
        opening.open_run(run.path, made_up.experiment(**other), {})
    assert (run.path / "config.json").read_bytes() == before


def test_a_second_process_is_refused_by_the_number_of_the_first(run):
    code = (
        "import sys; from tf_lottery.experiment import storage\n"
        "with storage.lock(sys.argv[1]):\n print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match=rf"Process {first.pid} works on"), storage.lock(run.path):
            pass
        first.kill()
    with storage.lock(run.path):  # a dead process holds nothing
        assert (run.path / "run.lock").read_text() == str(os.getpid())


def test_a_new_directory_may_be_locked_before_it_is_a_run(tmp_path):
    with storage.lock(tmp_path / "run"):
        opening.open_run(tmp_path / "run", made_up.experiment(), {})
    with pytest.raises(RunError, match=r"cannot be written: File exists"):
        storage.lock(tmp_path / "run" / "config.json").__enter__()


def test_the_report_is_replaced_whole(run):
    run.write_report({"a.txt": b"old"})
    folder = run.write_report({"a.txt": b"new"})
    assert (folder / "a.txt").read_bytes() == b"new"
    assert files(folder) == ["a.txt"]


def test_metrics_hold_the_checksums_of_the_files_beside_them(run):
    made_up.save(run, Unit(1, 0))
    content = json.loads((run.path / "replicate_1/level_00/metrics.json").read_text())
    assert set(content["sha256"]) == {"ticket.tfl", "history.csv"}


@pytest.mark.parametrize(("name", "now"), [("replicas", 1), ("keras_flavour", "legacy")])
def test_another_keras_or_number_of_replicas_is_refused(tmp_path, name, now):
    environment = {"replicas": 2, "keras_flavour": "keras 3"}
    opening.open_run(tmp_path / "run", made_up.experiment(), environment)
    opening.open_run(tmp_path / "run", made_up.experiment(), environment)
    with pytest.raises(RunError, match=rf"was begun with {name}=.*Received: {name}={now}. Go on with the same Keras"):
        opening.open_run(tmp_path / "run", made_up.experiment(), environment | {name: now})


def test_a_worker_sees_the_run_of_the_chief_or_says_why_not(tmp_path):
    with pytest.raises(RunError, match=r"is not there, yet the chief has made it. All workers need one run directory"):
        opening.opened_by_chief(tmp_path / "run", made_up.experiment())
    opening.open_run(tmp_path / "run", made_up.experiment(), {})
    assert opening.opened_by_chief(tmp_path / "run", made_up.experiment()).config == made_up.experiment()
    with pytest.raises(RunError, match=r"The chief was asked for less than this worker .*Give all the same command"):
        opening.opened_by_chief(tmp_path / "run", made_up.experiment(replicates=4))
