"""A directory is resumed exactly, or refused with the reason."""

import contextlib
import math
import os
import platform
import subprocess
import sys
import threading
from fractions import Fraction

import fits
import numpy as np
import pytest
import tiny
from tiers import nightly, slow

from tf_lottery import failpoints, files, locks
from tf_lottery.callbacks.level_store import LevelStore
from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.core.schedules import to_target_density
from tf_lottery.errors import ConfigError, DamageError, LotteryError, RunError, TicketError
from tf_lottery.keras_compat import LEGACY, keras, make_randomness_restorable
from tf_lottery.masking import state, ticket as ticket_lib
from tf_lottery.masking.ticket import Ticket


class DiesAfter(LotteryTicket):
    """Raises KeyboardInterrupt right after a level was stored."""

    def on_level_end(self, level, record):
        if level == self.settings.seed:
            raise KeyboardInterrupt


def model():
    make_randomness_restorable()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.95)
    return fits.model(tiny.convolutional, keras.optimizers.SGD(schedule, momentum=0.9), seed=3)


# Legacy Keras continues in arrays where an epoch was cut short, so that a level may begin with other batches there.
STEP_K = 8 if LEGACY else 3


def arguments(directory, **changes):
    return {"levels": 3, "fraction": 0.4, "epochs_per_level": 2, "rewind_to": STEP_K, "directory": directory} | changes


@pytest.mark.parametrize(
    ("killed_at", "rewind"),
    [
        (2, "none"),
        *(slow(2, rewind) for rewind in ("weights", "learning_rate")),
        *(slow(0, "weights"), nightly(0, "learning_rate"), nightly(0, "none")),
    ],
)
def test_the_same_script_run_again_ends_with_the_same_bytes(tmp_path, killed_at, rewind):
    changes = {"rewind": rewind, "seed": killed_at}
    fits.fit(model(), LotteryTicket(**arguments(tmp_path / "whole", **changes)), **fits.VALIDATED)
    with pytest.raises(KeyboardInterrupt):
        fits.fit(model(), DiesAfter(**arguments(tmp_path / "killed", **changes)), **fits.VALIDATED)
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("level_*")}
    assert len(done) == killed_at + 1
    fits.fit(model(), tickets := LotteryTicket(**arguments(tmp_path / "killed", **changes)), **fits.VALIDATED)
    assert [record["level"] for record in tickets.records] == [0, 1, 2, 3]
    whole, again = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "killed")
    )
    assert whole == again
    assert all((tmp_path / "killed" / name).stat().st_mtime_ns == time for name, time in done.items())


def test_a_finished_directory_is_not_trained_again(tmp_path):
    fits.fit(model(), LotteryTicket(**arguments(tmp_path)))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    made, tickets = model(), LotteryTicket(**arguments(tmp_path))
    with pytest.warns(UserWarning, match="are finished: `fit` ends after one batch, which changes nothing"):
        history = fits.fit(made, tickets)
    assert len(history.epoch) == 1  # `fit` trains one batch at least; it is undone
    assert fits.same_bits(state.weights(made), tickets.ticket(3).weights["final"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_more_levels_extend_a_directory(tmp_path):
    fits.fit(model(), LotteryTicket(**arguments(tmp_path / "grown", levels=1)))
    fits.fit(model(), LotteryTicket(**arguments(tmp_path / "grown")))
    fits.fit(model(), LotteryTicket(**arguments(tmp_path / "whole")))
    grown, whole = ((tmp_path / name / "records.json").read_bytes() for name in ("grown", "whole"))
    assert grown == whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fraction": 0.5}, r"fractions=\['2/5'\] \(stored\), \['1/2'\] \(now\)"),
        ({"fraction": to_target_density(0.1, 7)}, "fractions="),
        ({"rewind_to": 4}, rf"rewind_to={STEP_K} \(stored\), 4 \(now\)"),
        ({"criterion": "random"}, "criterion=magnitude"),
    ],
)
def test_a_directory_of_another_experiment_is_refused_with_the_difference(tmp_path, changes, message):
    fits.fit(model(), LotteryTicket(**arguments(tmp_path, levels=1)))
    with pytest.raises(RunError, match=rf"belongs to another experiment: .*{message}"):
        fits.fit(model(), LotteryTicket(**arguments(tmp_path, levels=1, **changes)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"min_density": 0}, {"min_density": 0.0}),
        ({"min_density": 0.1}, {"min_density": Fraction(1, 10)}),
        ({"fraction": 0}, {"fraction": 0.0}),
        ({"rewind_to": 4}, {"rewind_to": "4it"}),
        ({"scope": "layerwise", "rates": {"dense": 0}}, {"scope": "layerwise", "rates": ["dense=0.0"]}),
    ],
)
def test_a_setting_that_is_written_in_another_way_is_the_same_experiment(tmp_path, first, second):
    masks = {"dense/kernel": np.ones(100, bool)}
    for changes in (first, second):
        settings = LotteryTicket(**arguments(tmp_path, **changes)).settings
        LevelStore(tmp_path).open(settings.as_json(masks, settings.transition(masks)))
    settings = LotteryTicket(**arguments(tmp_path, **first, seed=1)).settings
    with pytest.raises(RunError, match="belongs to another experiment: seed=0"):
        LevelStore(tmp_path).open(settings.as_json(masks, settings.transition(masks)))


@pytest.mark.parametrize("changes", [{"min_density": 0.1}, {"min_density": None}, {"rewind_to": "5it"}])
def test_another_number_is_another_experiment(tmp_path, changes):
    masks = {"dense/kernel": np.ones(100, bool)}
    first, second = (
        LotteryTicket(**arguments(tmp_path, **{"min_density": 0, "rewind_to": 4, **more})).settings
        for more in ({}, changes)
    )
    LevelStore(tmp_path).open(first.as_json(masks, first.transition(masks)))
    with pytest.raises(RunError, match=f"belongs to another experiment: {next(iter(changes))}="):
        LevelStore(tmp_path).open(second.as_json(masks, second.transition(masks)))


def test_another_model_or_other_data_are_refused(tmp_path):
    changes = {"levels": 1, "rewind_to": 3}
    fits.fit(model(), LotteryTicket(**arguments(tmp_path, **changes)))
    with pytest.raises(RunError, match="weights="):
        fits.fit(fits.model(), LotteryTicket(**arguments(tmp_path, **changes)))
    with pytest.raises(RunError, match="epochs of 8 steps; this `fit` has 4"):
        fits.fit(model(), LotteryTicket(**arguments(tmp_path, **changes)), batch_size=8)


def test_a_directory_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match="holds other files than lottery tickets"):
        fits.fit(model(), LotteryTicket(**arguments(tmp_path)))


SETTINGS = {
    "weights": {"w": [2]},
    "fractions": ["1/2"],
    "epochs_per_level": 2,
    "scope": "global",
    "criterion": "magnitude",
    "rewind": "none",
    "rewind_to": 0,
    "reset_optimizer": False,
    "min_density": None,
}


def record(level):
    numbers = {"density": 0.5, "density_by_weight": {"w": 0.5}, "epochs": 2, "step": 16, "metrics": {"loss": 0.25}}
    return {"level": level, **numbers}


def store_of(path, levels=(0, 1), seed=0):
    """Write a store without a `fit`: two levels, and the optimizer at the end of the last one."""
    store = LevelStore(path)
    store.open(SETTINGS)
    for level in levels:
        if not level:
            at_k = {"weights": {"w": np.array([seed, 0.5])}, "optimizer": {"0000": np.array([seed])}}
            store.write("rewind", Ticket({}, at_k, {"steps_per_epoch": 8}))
        weights = {group: {"w": np.array([seed + level + 1.0, 0.0])} for group in ("rewind", "final")}
        origin = {"level": level, "rewind_step": 0, "rewind": "none", "state_at_k": store.digest("rewind")}
        ticket = Ticket({"w": np.array([True, False])}, weights, origin)
        store.add(record(level), ticket, {"optimizer": {"0000": np.array([seed, level])}})
    return store


def all_of(path):
    """Return everything that resuming a directory reads, or the error that it raises."""
    try:
        store = LevelStore(path)
        store.open(SETTINGS)
        levels = range(len(store.records))
        found = [store.records, *(ticket_lib.pack(store.ticket(level)) for level in levels)]
        return [
            *found,
            *(str(store.state_before(level + 1, "final")["optimizer"]) for level in levels[-1:]),
            ticket_lib.pack(store.read("rewind")),
        ]
    except LotteryError as error:
        return error


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize(
    "name", ["settings.json", "records.json", "rewind.tfl", "level_00.tfl", "level_01.tfl", "state_01.tfl"]
)
def test_a_damaged_file_is_named(tmp_path, name):
    store_of(tmp_path)
    before, whole, file = all_of(tmp_path), contents(tmp_path), tmp_path / name
    assert len(whole) == 6
    size = len(whole[name])
    flips = [bytes([*whole[name][:at], whole[name][at] ^ 4, *whole[name][at + 1 :]]) for at in range(size)]
    for damaged in [b"", bytes(size), whole[name] + b"\n", *(whole[name][: size // n] for n in (2, 3)), *flips]:
        file.write_bytes(damaged)
        found = all_of(tmp_path)
        assert isinstance(found, DamageError | TicketError)
        assert str(file) in str(found)
    os.truncate(file, 2**37)
    assert str(file) in str(all_of(tmp_path))
    file.write_bytes(whole[name])
    assert all_of(tmp_path) == before


@pytest.mark.parametrize("name", ["rewind.tfl", "level_00.tfl", "level_01.tfl", "state_01.tfl"])
def test_a_file_of_another_run_or_level_is_named(tmp_path, name):
    store_of(tmp_path / "mine")
    store_of(tmp_path / "other", seed=1)
    whole = contents(tmp_path / "mine")
    others = [contents(tmp_path / "other")[name], *(whole[other] for other in whole if other.endswith("tfl"))]
    for content in others:
        (tmp_path / "mine" / name).write_bytes(content)
        if content != whole[name]:
            assert isinstance(found := all_of(tmp_path / "mine"), DamageError)
            assert f"{name} belongs to another run: do two runs use {tmp_path / 'mine'} at once? Restore" in str(found)


class Killed(BaseException):
    """Raised in place of a SIGKILL."""


def test_killed_at_any_write_or_removal_a_store_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    reached = []
    monkeypatch.setattr(failpoints, "reach", lambda site, moment: reached.append(f"{site}: {moment}"))
    store_of(tmp_path / "whole", levels=range(3))
    assert set(reached) == {name for name in failpoints.names() if name.startswith("callback")}
    for number, name in enumerate(reached):
        left = [*range(number + 1)]

        def reach(site, moment, left=left):
            if len(left) == 1:
                raise Killed
            left.pop()

        path = tmp_path / str(number)
        monkeypatch.setattr(failpoints, "reach", reach)
        with pytest.raises(Killed):
            store_of(path, levels=range(3))
        monkeypatch.setattr(failpoints, "reach", lambda site, moment: None)
        done = len(LevelStore(path).records)
        store_of(path, levels=range(done, 3))
        found = {name: content for name, content in contents(path).items() if not name.startswith(".")}
        assert found == contents(tmp_path / "whole"), f"{number}: {name}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("records.json", {"levels": 5, "files": {}}),
        ("records.json", {"levels": []}),
        ("records.json", {"levels": [], "files": []}),
        ("records.json", {"levels": [5], "files": {}}),
        ("records.json", {"levels": [{}], "files": {}}),
        ("records.json", {"levels": [record(1)], "files": {}}),
        ("records.json", {"levels": [{**record(0), "metrics": [1]}], "files": {}}),
        ("records.json", {"levels": [record(0)], "files": {}}),
        ("records.json", {"levels": [record(0)], "files": {"level_00": 5}}),
        ("settings.json", {"other": 1}),
        ("settings.json", SETTINGS | {"fractions": None}),
        ("settings.json", SETTINGS | {"weights": {"w": [-2]}}),
        ("settings.json", SETTINGS | {"epochs_per_level": True}),
    ],
)
def test_a_forged_record_is_damage(tmp_path, name, content):
    store_of(tmp_path)
    assert not isinstance(all_of(tmp_path), LotteryError)
    (tmp_path / name).write_bytes(files.seal(content))
    assert isinstance(all_of(tmp_path), DamageError)


def test_a_ticket_under_another_levels_name_is_refused(tmp_path):
    fits.fit(fits.model(), tickets := LotteryTicket(**arguments(tmp_path, levels=1)))
    (tmp_path / "level_01.tfl").write_bytes((tmp_path / "level_00.tfl").read_bytes())
    with pytest.raises(RunError, match=r"level_01.tfl belongs to another run: do two runs use .* at once\? Restore it"):
        tickets.ticket(1)


def test_a_directory_can_be_looked_at_without_a_fit(tmp_path):
    made = fits.model()
    fits.fit(made, found := LotteryTicket(**arguments(tmp_path, levels=1)))
    tickets = LotteryTicket(**arguments(tmp_path, levels=1))
    assert tickets.to_frame().equals(found.to_frame())
    assert fits.same_bits(state.weights(tickets.restore(fits.model(), 1)), state.weights(made))
    assert tickets.best(within=1.0) == 1
    with pytest.raises(ConfigError, match=r"`fit` has not been called in this process yet: .* `control\(…, model=…\)`"):
        tickets.control("reinit", 1)


def test_a_directory_of_a_process_that_died_in_its_first_write_is_empty(tmp_path):
    (tmp_path / ".settings.json.tmp").touch()
    fits.fit(fits.model(), tickets := LotteryTicket(**arguments(tmp_path, levels=0)))
    assert len(tickets.records) == 1


def test_the_optimizer_is_part_of_the_experiment(tmp_path):
    fits.fit(fits.model(), LotteryTicket(**arguments(tmp_path, levels=0)))
    with pytest.raises(RunError, match=r"optimizer=SGD \(stored\), Adam \(now\)"):
        fits.fit(fits.model(optimizer=keras.optimizers.Adam()), LotteryTicket(**arguments(tmp_path)))


def test_only_the_last_optimizer_state_stays(tmp_path):
    fits.fit(fits.model(), LotteryTicket(**arguments(tmp_path, levels=1, rewind="none")))
    (tmp_path / "state_00.tfl").touch()
    fits.fit(fits.model(), LotteryTicket(**arguments(tmp_path, levels=2, rewind="none")))
    assert [path.name for path in tmp_path.glob("state_*")] == ["state_02.tfl"]


def test_a_nan_metric_is_stored_as_nan(tmp_path):
    class Lost(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = float("nan")

    made, tickets = fits.model(), LotteryTicket(**arguments(tmp_path, levels=0))
    made.fit(tiny.X, tiny.Y, batch_size=4, epochs=2, verbose=0, callbacks=[Lost(), tickets])
    assert math.isnan(LotteryTicket(**arguments(tmp_path, levels=0)).records[0]["metrics"]["val_loss"])


def test_two_runs_in_one_directory_do_not_mix(tmp_path):
    class Overwrites(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            fits.fit(fits.model(), LotteryTicket(**arguments(tmp_path / "other", levels=0)))
            (tmp_path / "mine/rewind.tfl").write_bytes((tmp_path / "other/rewind.tfl").read_bytes())

    with pytest.raises(
        RunError,
        match=r"rewind.tfl belongs to another run: do two runs use .*mine at once\? Restore it from a copy, or choose",
    ):
        fits.fit(fits.model(), LotteryTicket(**arguments(tmp_path / "mine", callbacks=[Overwrites()])))


def test_a_lost_optimizer_state_is_named(tmp_path):
    fits.fit(fits.model(), LotteryTicket(**arguments(tmp_path, levels=1, rewind="none")))
    (tmp_path / "state_01.tfl").unlink()
    with pytest.raises(TicketError, match=r"state_01.tfl cannot be read"):
        fits.fit(fits.model(), LotteryTicket(**arguments(tmp_path, levels=2, rewind="none")))


HOLDS = (
    "import sys; from pathlib import Path; from tf_lottery import locks\n"
    "with locks.hold(Path(sys.argv[1]), 'it'):\n print('held', flush=True); sys.stdin.read()"
)


def test_a_second_process_is_refused_while_a_fit_writes_to_the_directory(tmp_path):
    directory = tmp_path / "tickets"
    command = [sys.executable, "-c", HOLDS, directory / "levels.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        tickets = LotteryTicket(**arguments(directory, levels=0))
        with pytest.raises(
            RunError, match=rf"^Process {other.pid} on .* is working on {directory}; wait for it to end"
        ):
            fits.fit(fits.model(), tickets)
        assert [*contents(directory)] == ["levels.lock"]
        other.kill()
    fits.fit(fits.model(), LotteryTicket(**arguments(directory, levels=0)))
    assert {"settings.json", "level_00.tfl", "levels.lock"} <= {*contents(directory)}
    assert locks.holder(directory / "levels.lock") is None


def test_a_store_gives_its_directory_up_to_the_next_one_of_its_thread_but_not_of_another(tmp_path):
    broken_off, store = LevelStore(tmp_path), LevelStore(tmp_path)
    broken_off.hold()
    refused = []

    def hold():
        try:
            store.hold()
        except RunError as error:
            refused.append(str(error))

    thread = threading.Thread(target=hold, name="second")
    thread.start()
    thread.join()
    assert refused == [f"The thread 'MainThread' is working on {tmp_path}; wait for it to end."]
    store.hold()
    broken_off.release()
    assert locks.holder(tmp_path / "levels.lock") == f"{os.getpid()} on {platform.node()}"
    store.release()
    assert locks.holder(tmp_path / "levels.lock") is None


def test_a_store_knows_the_levels_that_another_process_has_finished_before_it_held_the_directory(tmp_path):
    store = LevelStore(tmp_path)
    store_of(tmp_path)
    store.hold()
    assert [record["level"] for record in store.records] == [0, 1]


@pytest.mark.parametrize("kind", ["symlink_to", "hardlink_to"])
@pytest.mark.parametrize("name", ["settings.json", "rewind.tfl", "level_00.tfl", "records.json", "levels.lock"])
@pytest.mark.parametrize("temporary", [False, True])
def test_links_in_a_directory_are_not_followed(tmp_path, name, kind, temporary):
    victim, directory = tmp_path / "victim", tmp_path / "tickets"
    victim.write_text("precious")
    directory.mkdir()
    getattr(directory / (f".{name}.tmp" if temporary else name), kind)(victim)
    with contextlib.suppress(LotteryError):
        LevelStore(directory).hold()
    with contextlib.suppress(LotteryError):
        store_of(directory)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("call", ["stat", "listdir", "open", "replace", "mkdir"])
def test_a_call_of_the_system_that_fails_is_a_typed_error_and_the_next_fit_ends_with_the_same_bytes(
    tmp_path, monkeypatch, call
):
    def fit(path):
        store = LevelStore(path)
        store.hold()
        try:
            store_of(path, levels=range(len(store.records), 3))
            all_of(path)
        finally:
            store.release()

    fit(tmp_path / "whole")
    whole, function, is_through, at = contents(tmp_path / "whole"), getattr(os, call), False, 0
    while not is_through:
        left = [*range(at := at + 1)]

        def fail(*given, left=left, **options):
            if len(left) == 1:
                raise OSError(5, "Input/output error", str(given[0]))
            left.pop()
            return function(*given, **options)

        with monkeypatch.context() as patch, contextlib.suppress(LotteryError):
            patch.setattr(os, call, fail)
            fit(tmp_path / str(at))
            is_through = len(left) > 1
        fit(tmp_path / str(at))
        assert contents(tmp_path / str(at)) == whole
    assert at > 1
