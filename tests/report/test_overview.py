import os
import subprocess
import sys
from pathlib import Path

import fakes
import pytest

from tf_lottery import locks
from tf_lottery.errors import DamageError
from tf_lottery.experiment import backups, open_run, plan
from tf_lottery.experiment.config import Prune, Train
from tf_lottery.experiment.storage import Run
from tf_lottery.report import overview

TESTS = Path(__file__).parents[1]
# A process that pretends to train: it holds the lock, saves checkpoints, and finishes one unit after another.
GOING_ON = """
import sys, fakes
from tf_lottery import locks
from tf_lottery.experiment import plan
from tf_lottery.experiment.storage import Run
run = Run.load(sys.argv[1])
with locks.hold(run.lock_path(1), "it"):
    for unit in plan.units(run.config):
        for step in range(1, 6):
            run.save_checkpoint(unit, step, fakes.TICKET)
        fakes.save(run, unit)
        print(unit, flush=True)
"""


def begin(path, **changes):
    """Create a run of one replicate without controls, in which nothing is finished."""
    return open_run.open_run(path, fakes.experiment(**{"replicates": 1, "controls": (), **changes}), fakes.ENVIRONMENT)


def done(run, unit, from_step=0, to_step=200, **changes):
    fakes.save(run, unit, metrics=fakes.metrics(unit) | {"from_step": from_step, "to_step": to_step}, **changes)


def seen(run):
    return overview.read(Run.load(run.path))


def states(run):
    return [status.state for status in seen(run).units]


def verified(run):
    return dict(overview.verify(Run.load(run.path)))


def damaged(run):
    return {str(path.relative_to(run.path)): fault for path, fault in verified(run).items() if fault}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def footprint(path):
    return {file: (file.stat().st_mtime_ns, file.is_file() and file.read_bytes()) for file in path.rglob("*")}


def test_runs_are_found_at_and_below_a_directory_and_not_inside_another(tmp_path):
    for name in ("b", "a/deep", "b/report/inner"):
        begin(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert list(overview.find(tmp_path)) == [tmp_path / "a/deep", tmp_path / "b"]
    assert list(overview.find(tmp_path / "b")) == [tmp_path / "b"]
    assert list(overview.find(tmp_path / "empty")) == []


def test_a_run_of_which_only_the_backup_of_its_config_is_left_is_found(tmp_path):
    (begin(tmp_path / "run").path / "config.json").unlink()
    assert list(overview.find(tmp_path)) == [tmp_path / "run"]


def test_a_unit_waits_is_under_way_and_is_done(tmp_path):
    run = begin(tmp_path)
    assert states(run) == ["waiting"] * 3
    for step in (100, 150):
        run.save_checkpoint(fakes.unit(), step, fakes.TICKET)
    assert states(run) == ["under way at step 150", "waiting", "waiting"]
    done(run, fakes.unit())
    assert states(run) == ["done", "waiting", "waiting"]


def test_a_finished_run_has_all_its_steps_and_no_time_left(tmp_path):
    run = seen(fakes.run(tmp_path))
    assert (run.done, run.state, run.steps, run.seconds_left) == (21, "finished", (4200, 4200), 0)


def test_each_process_that_works_on_a_run_is_named_once(tmp_path):
    run = begin(tmp_path, replicates=3)
    assert seen(run).state == "stopped"
    with locks.hold(run.lock_path(1), "it"), locks.hold(run.lock_path(3), "it"):
        assert seen(run).state == f"going on, process {os.getpid()} on {os.uname().nodename}"
    assert seen(run).state == "stopped"


def test_steps_and_time_count_the_steps_in_checkpoints_since_step_k(tmp_path):
    run = begin(tmp_path, prune=Prune(levels=2, rewind_to="1ep"), controls=("reinit",))
    done(run, fakes.unit(level=0), 0, 200, seconds=20)
    done(run, fakes.unit(level=1), 50, 200, seconds=15)
    run.save_checkpoint(fakes.unit(level=2), 100, fakes.TICKET)
    run.save_checkpoint(fakes.unit(level=1, control="reinit"), 100, fakes.TICKET)
    all_steps = 200 + 150 + 150 + 200 + 200
    assert seen(run).steps == (200 + 150 + 50 + 100, all_steps)
    assert seen(run).seconds_left == pytest.approx(0.1 * (100 + 100 + 200))


def test_the_pace_is_the_median_so_that_a_resumed_unit_does_not_distort_it(tmp_path):
    run = begin(tmp_path, prune=Prune(levels=3))
    for level, seconds in enumerate((20.0, 0.5, 22.0)):
        done(run, fakes.unit(level=level), seconds=seconds)
    assert seen(run).seconds_left == pytest.approx(20)


def test_lengths_in_steps_are_known_before_anything_is_done_and_times_are_not(tmp_path):
    run = begin(tmp_path, train=Train(steps="300it"), prune=Prune(levels=2, rewind_to="100it"))
    assert seen(run).steps == (0, 700)
    assert seen(run).seconds_left is None


@pytest.mark.parametrize(("steps", "rewind_to"), [("2ep", "0it"), ("300it", "1ep")])
def test_lengths_in_epochs_are_unknown_until_a_unit_is_finished(tmp_path, steps, rewind_to):
    run = begin(tmp_path, train=Train(steps=steps), prune=Prune(levels=1, rewind_to=rewind_to))
    assert seen(run).steps is None
    done(run, fakes.unit(level=1), 50, 200, seconds=15)
    assert seen(run).steps == (150, 350)
    assert seen(run).seconds_left == pytest.approx(20)


def test_a_reinit_control_which_starts_at_0_does_not_tell_step_k(tmp_path):
    run = begin(tmp_path, prune=Prune(levels=1, rewind_to="1ep"), controls=("reinit",))
    done(run, fakes.unit(level=0), 0, 200)
    done(run, fakes.unit(level=1, control="reinit"), 0, 200)
    assert seen(run).steps is None
    assert seen(run).seconds_left is None


@pytest.mark.parametrize("timing", ["{", '{"seconds": null}'])
def test_without_a_known_time_there_is_no_time_left(tmp_path, timing):
    run = begin(tmp_path)
    done(run, fakes.unit())
    (run.folder(fakes.unit()) / "timing.json").write_text(timing)
    assert seen(run).steps == (200, 600)
    assert seen(run).seconds_left is None


def test_damaged_results_are_a_fault_that_stops_nothing(tmp_path):
    run = fakes.run(tmp_path)
    flip(run.folder(fakes.unit(2, 1)) / "metrics.json")
    (fault,) = seen(run).faults
    assert "replicate_2/level_01/metrics.json is damaged" in fault
    assert states(run).count("done") == 20
    assert states(run).count("damaged") == 1


def test_every_file_of_a_whole_run_is_counted_and_whole(tmp_path):
    run = fakes.run(tmp_path, optimizer={"rewind": {}})
    unfinished = open_run.open_run(run.path, fakes.experiment(prune=Prune(levels=3)), fakes.ENVIRONMENT)
    unfinished.save_checkpoint(fakes.unit(1, 3), 100, fakes.TICKET)
    assert damaged(run) == {}
    written = {path for path in run.path.rglob("*") if path.is_file() and path.name != "timing.json"}
    assert set(verified(run)) == written
    assert len(written) == 21 * 5 + 1 + 4


def test_a_flipped_bit_is_found_in_every_file_and_the_way_out_is_named(tmp_path):
    run = fakes.run(tmp_path, fakes.experiment(replicates=1, controls=()))
    open_run.open_run(run.path, fakes.experiment(replicates=2, controls=()), fakes.ENVIRONMENT)
    run.save_checkpoint(fakes.unit(2), 100, fakes.TICKET)
    for path in verified(run):
        whole = path.read_bytes()
        flip(path)
        ((name, fault),) = [(path, fault) for path, fault in verified(run).items() if fault]
        assert fault.startswith(f"{path} is damaged: ")
        remedies = ("to restore this one.", "to have it redone.", "the checkpoint before it, or from the start.")
        assert name == path
        assert fault.endswith(remedies)
        path.write_bytes(whole)
    assert damaged(run) == {}


def test_a_file_that_is_gone_is_damage(tmp_path):
    run = fakes.run(tmp_path)
    (run.folder(fakes.unit()) / "ticket.tfl").unlink()
    (run.path / "environment.json").unlink()
    assert list(damaged(run)) == ["environment.json", "replicate_1/level_00/ticket.tfl"]


def test_both_generations_of_a_record_damaged_have_another_way_out(tmp_path):
    run = begin(tmp_path)
    for path in backups.paths(run.path, "environment"):
        flip(path)
    assert list(damaged(run)) == ["environment.json", "environment.backup.json"]
    for fault in damaged(run).values():
        assert fault.endswith("restore one from a copy, or resume with --any_environment, which is not bit-exact.")


def test_without_a_config_there_is_no_run_to_verify(tmp_path):
    run = begin(tmp_path)
    for path in backups.paths(run.path, "config"):
        flip(path)
    with pytest.raises(DamageError, match=r"config.json is damaged: .* restore one of them from a copy"):
        verified(run)


def test_what_a_killed_process_leaves_is_no_damage(tmp_path):
    run = begin(tmp_path)
    (run.path / "config.backup.json").unlink()
    (run.path / ".config.backup.json.tmp").write_text("{")
    folder = run.folder(fakes.unit())
    folder.mkdir(parents=True)
    for name in ("ticket.tfl", ".manifest.json.tmp", ".checkpoint_0000000100.tfl.tmp"):
        (folder / name).write_text("")
    assert damaged(run) == {}
    assert states(run)[0] == "waiting"


def test_a_checkpoint_that_a_newer_one_replaces_meanwhile_is_no_damage(tmp_path, monkeypatch):
    run = begin(tmp_path)
    run.save_checkpoint(fakes.unit(), 300, fakes.TICKET)
    steps = Run.checkpoint_steps
    monkeypatch.setattr(
        Run, "checkpoint_steps", lambda run, unit: [*steps(run, unit), *([100] if unit == fakes.unit() else [])]
    )
    assert damaged(run) == {}
    assert states(run)[0] == "under way at step 300"


def test_a_unit_that_finishes_meanwhile_is_done(tmp_path, monkeypatch):
    run = begin(tmp_path)
    run.save_checkpoint(fakes.unit(), 100, fakes.TICKET)
    steps = Run.checkpoint_steps

    def finishes(run, unit):
        found = steps(run, unit)
        if unit == fakes.unit() and not run.is_done(unit):
            fakes.save(run, unit)
        return found

    monkeypatch.setattr(Run, "checkpoint_steps", finishes)
    assert states(run)[0] == "done"


def test_a_run_can_be_read_while_it_is_active(tmp_path):
    run, looks = begin(tmp_path, prune=Prune(levels=20)), set()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-c", GOING_ON, run.path]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            assert damaged(run) == {}
            now = seen(run)
            assert now.faults == []
            looks.add((now.done, now.state.split(",")[0]))
        assert process.stdout.read().count(b"\n") == len(plan.units(run.config))
    assert process.returncode == 0
    assert len(looks) > 3
    assert {state for done, state in looks if 0 < done < 21} == {"going on"}
    assert (seen(run).done, seen(run).state) == (21, "finished")


def test_reading_writes_nothing(tmp_path):
    run = fakes.run(tmp_path / "run")
    open_run.open_run(run.path, fakes.experiment(replicates=4), fakes.ENVIRONMENT)
    run.save_checkpoint(fakes.unit(4), 100, fakes.TICKET)
    flip(run.folder(fakes.unit()) / "metrics.json")
    flip(run.path / "config.json")
    before = footprint(tmp_path)
    assert list(overview.find(tmp_path)) == [run.path]
    seen(run)
    damaged(run)
    assert footprint(tmp_path) == before
