"""Units that are killed or told to stop, and resumed by another process."""

import dataclasses

import fakes
import pytest
import runs
import tiny
from tiers import always, slow

from tf_lottery import data, files, models
from tf_lottery.errors import ConfigError, RunError, StoppedError
from tf_lottery.experiment import imp, open_run
from tf_lottery.experiment.checkpoints import CheckpointInterval, Hooks
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train
from tf_lottery.experiment.setups import Setups
from tf_lottery.experiment.storage import Unit
from tf_lottery.masking import ticket
from tf_lottery.training.connectivity import Connectivity

CONFIG = Experiment(
    model=Model("lenet_300_100"),
    data=Data("tiny", augment="flip_and_crop"),
    train=Train(optimizer="sgd", learning_rate=0.1, batch_size=6, steps="12it", evaluate_every="4it"),
    prune=Prune(levels=1, fraction=0.5, rewind_to="5it"),
)
WITH_LINE = dataclasses.replace(CONFIG, stability=Stability(levels=(0,), shuffle_seeds=2, points=4))
SECOND_ORDER = Unit(1, 0, shuffle_seed=1)
DENSE, TICKET, CONTROL = LEVELS = Unit(1, 0), Unit(1, 1), Unit(1, 1, "reinit")


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, input_shape, num_classes: tiny.convolutional())
    monkeypatch.setitem(data.SOURCES, "tiny", lambda: tiny.DATASET)


class Process:
    """A process that trains units; it can be killed at a step, or told to stop."""

    def __init__(self, path, interval="1it", kill_at=None, stop_at=None, config=CONFIG):
        self.run, self.setups = open_run.open_run(path, config, {"replicas": 1}), Setups(fakes.settled(config))
        self.step, self.notes, self.kill_at = 0, [], kill_at
        self.hooks = Hooks(
            CheckpointInterval.parse(interval) if isinstance(interval, str) else interval,
            stop_requested=lambda: self.step == stop_at,
            on_steps=self._on_steps,
            on_note=self.notes.append,
        )

    def train(self, *units):
        for unit in units:
            self.step = self.setups.of("").lengths.rewind if unit.level and not unit.control else 0
            imp.train_unit(self.run, self.setups, unit, self.hooks)
        return runs.digest(self.run.path)

    def _on_steps(self, steps):
        self.step += steps
        if self.kill_at and self.step >= self.kill_at:
            raise KeyboardInterrupt


@pytest.fixture
def whole(tmp_path):
    return Process(tmp_path / "whole", interval="9min").train(*LEVELS)


@pytest.mark.parametrize("interval", ["5it", *map(slow, ["1it", "100it", CheckpointInterval(seconds=0.0)])])
def test_no_checkpoint_interval_changes_a_byte_or_leaves_a_checkpoint(tmp_path, whole, interval):
    assert Process(tmp_path / "run", interval).train(*LEVELS) == whole
    assert not list((tmp_path / "run").rglob("checkpoint_*"))


@pytest.mark.parametrize("unit", always(TICKET, among=LEVELS), ids=str)
def test_a_killed_unit_resumes_from_its_newest_checkpoint(tmp_path, whole, unit):
    with pytest.raises(KeyboardInterrupt):
        Process(tmp_path / "run", "3it", kill_at=11).train(*LEVELS[: LEVELS.index(unit) + 1])
    again = Process(tmp_path / "run", "3it")
    first = []
    again.hooks = dataclasses.replace(again.hooks, on_steps=first.append)
    if unit == DENSE:
        assert again.run.checkpoint_steps(unit) == [9, 6]
    assert again.train(*LEVELS) == whole
    if unit == DENSE:
        assert first[0] == 9
    assert again.notes == []


def test_the_duration_of_a_unit_includes_all_its_processes(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Process(tmp_path / "run", "3it", kill_at=11).train(DENSE)
    again = Process(tmp_path / "run")
    path = again.run.checkpoint_path(DENSE, 9)
    state = again.run.checkpoint(DENSE, 9)
    assert 0 < float.fromhex(state.metadata["seconds"]) < 100
    longer = dataclasses.replace(state, metadata={**state.metadata, "seconds": (1000.0).hex()})
    path.write_bytes(ticket.pack(longer))
    again.train(DENSE)
    assert 1000 < again.run.seconds(DENSE) < 1100


def test_a_unit_that_is_told_to_stop_saves_a_checkpoint_of_this_very_step(tmp_path, whole):
    process = Process(tmp_path / "run", "100it", stop_at=8)
    with pytest.raises(
        StoppedError, match=r"replicate 1, level 0 was stopped at step 8 with a checkpoint saved; the same command"
    ):
        process.train(DENSE)
    assert process.run.checkpoint_steps(DENSE) == [8]
    assert Process(tmp_path / "run").train(*LEVELS) == whole


class Points:
    """Counts the measured points of lines, and asks for a stop after some of them."""

    def __init__(self, monkeypatch, stop_after=0):
        self.measured, self.stop_after = 0, stop_after
        along = Connectivity.along

        def counted(*arguments, **settings):
            for row in along(*arguments, **settings):
                self.measured += 1
                yield row

        monkeypatch.setattr(Connectivity, "along", counted)

    def hooks(self, **settings):
        return Hooks(stop_requested=lambda: 0 < self.stop_after <= self.measured, **settings)


@pytest.mark.parametrize("point", [1, slow(3)])
def test_a_line_resumes_from_its_last_point(tmp_path, monkeypatch, point):
    whole = Process(tmp_path / "whole", config=WITH_LINE).train(DENSE, SECOND_ORDER)
    process, points = Process(tmp_path / "run", config=WITH_LINE), Points(monkeypatch, stop_after=point)
    process.train(DENSE)
    process.hooks = points.hooks()
    with pytest.raises(StoppedError, match=r"was stopped at step 12 with a checkpoint saved; the same command resumes"):
        process.train(SECOND_ORDER)
    assert (points.measured, process.run.checkpoint_steps(SECOND_ORDER)) == (point, [12])
    again, steps = Process(tmp_path / "run", config=WITH_LINE), []
    again.hooks = dataclasses.replace(again.hooks, on_steps=steps.append)
    points.stop_after = 0
    assert again.train(SECOND_ORDER) == whole
    assert (points.measured, steps) == (4, [12 - 5])  # no point is measured twice, and no step of 5-12 trained
    assert list(again.run.history(SECOND_ORDER)["step"]) == [8, 12]


def test_checkpoints_are_saved_between_the_points_of_a_line(tmp_path, monkeypatch):
    process = Process(tmp_path / "run", config=WITH_LINE)
    process.train(DENSE)
    saved = []
    monkeypatch.setattr(process.run, "save_checkpoint", lambda unit, step, state: saved.append((step, state.metadata)))
    process.hooks = Hooks(CheckpointInterval(steps=12))
    process.train(SECOND_ORDER)
    assert [(step, len(metadata["line"])) for step, metadata in saved] == [(12, 1), (12, 2), (12, 3)]


def killed(path):
    """Kill a dense unit at step 11, and return the paths of its checkpoints at steps 9 and 6."""
    with pytest.raises(KeyboardInterrupt):
        Process(path, "3it", kill_at=11).train(DENSE)
    return [path / "replicate_1/level_00" / f"checkpoint_{step:010d}.tfl" for step in (9, 6)]


def unreadable(path, max_bytes):
    raise OSError(5, "Input/output error")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damaged", [slow(1), 2])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, whole, damaged):
    states = killed(tmp_path / "run")[:damaged]
    for state in states:
        flip(state)
    again, left = Process(tmp_path / "run", "100it"), []
    again.hooks = dataclasses.replace(
        again.hooks, on_steps=lambda steps: left.append([state for state in states if state.exists()])
    )
    assert again.train(*LEVELS) == whole
    assert left[0] == []  # removed before any step is trained
    assert len(again.notes) == damaged
    for note, state in zip(again.notes, states, strict=True):
        assert note == (
            f"{state} cannot be used and is removed (The ticket file is damaged: its checksum does not match): "
            "training resumes from the checkpoint before it, or starts again."
        )


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_read_for_now_stays(tmp_path, whole, monkeypatch):
    states, process = killed(tmp_path / "run"), Process(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(files, "read", unreadable)
        with pytest.raises(
            RunError, match=r"cannot be read: Input/output error. Once it can, run the same command again"
        ):
            process.train(DENSE)
    assert all(state.exists() for state in states)
    assert Process(tmp_path / "run").train(*LEVELS) == whole


@pytest.mark.slow
def test_the_checkpoint_of_another_run_is_not_used(tmp_path, whole):
    Process(tmp_path / "other", config=dataclasses.replace(CONFIG, seed=1))
    with pytest.raises(KeyboardInterrupt):
        Process(tmp_path / "other", "9it", kill_at=11, config=dataclasses.replace(CONFIG, seed=1)).train(DENSE)
    newest, _ = killed(tmp_path / "run")
    newest.write_bytes((tmp_path / "other/replicate_1/level_00" / newest.name).read_bytes())
    again = Process(tmp_path / "run", "100it")
    assert again.train(*LEVELS) == whole
    assert again.notes == [
        f"{newest} cannot be used and is removed (it belongs to another unit): training resumes from the checkpoint "
        "before it, or starts again."
    ]


def test_the_newest_validation_accuracy_is_reported_from_the_first_evaluation_on(tmp_path):
    process, told = Process(tmp_path / "run", "1it"), []
    process.hooks = dataclasses.replace(
        process.hooks, on_accuracy=lambda accuracy: told.append((process.step, accuracy))
    )
    process.train(DENSE)
    measured = dict(process.run.history(DENSE)[["step", "validation_accuracy"]].itertuples(index=False))
    assert [step for step, _ in told] == [*range(4, 8), *range(4 + 4, 12), 12]
    assert told == [(step, pytest.approx(measured[step // 4 * 4])) for step, _ in told]


@pytest.mark.parametrize("every", ["", "0it", "0min", "5", "5ep", "1.5min", "-1it", 5, None])
def test_a_checkpoint_interval_must_be_in_steps_or_minutes(every):
    with pytest.raises(ConfigError, match=r"`checkpoint_every` must be .* \"500it\" .* or \"10min\" .*Received: "):
        CheckpointInterval.parse(every)


def test_a_checkpoint_interval_is_read_from_steps_and_minutes():
    assert CheckpointInterval.parse("500it") == CheckpointInterval(steps=500)
    assert CheckpointInterval.parse("10min") == CheckpointInterval(seconds=600.0)
