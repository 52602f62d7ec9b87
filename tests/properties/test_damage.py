"""Law 11 on whole runs: a damaged file is found by its checksum, and is never silently used.

One file of a run is damaged at a time. Then all that a resume reads is either, to the bit, what it was before, or a
typed error that names the file; and where there is a generation before, that is used.
"""

import json
import os
import shutil
import tracemalloc

import fakes
import numpy as np
import pytest

from tf_lottery.errors import DamageError, RunError, TicketError
from tf_lottery.experiment import backups, find_tickets as find_tickets_lib, open_run
from tf_lottery.experiment.config import Prune
from tf_lottery.experiment.plan import units
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.masking import ticket
from tf_lottery.masking.ticket import Ticket
from tf_lottery.training import progress

CONFIG = fakes.experiment(replicates=1, prune=Prune(levels=2))
DENSE, LEVEL_1, UNDER_WAY = units(CONFIG)[:3]
GROUP = {"w": (2,), "bias": (3,)}
STATE = progress.shapes({"weights": GROUP, "optimizer": {"0000": (), "0001": (2,)}}, [20], {"w": (2,)}, replicas=2)
SHAPES = {"masks": {"w": (2,)}, "rewind": {"w": (2,)}, "final": {"w": (2,)}}
NO_STATE = b"starts anew"

GENERATIONS = ["config.json", "config.backup.json", "environment.json", "environment.backup.json"]
PARTS = ["manifest.json", "metrics.json", "history.csv", "ticket.tfl", "optimizer.tfl"]
NEWER, OLDER = (f"replicate_1/level_02/checkpoint_{step:010d}.tfl" for step in (200, 100))
REPORT = "report/index.html"
FILES = [
    *GENERATIONS,
    *(f"replicate_1/level_00/{name}" for name in PARTS),
    *(f"replicate_1/level_01/{name}" for name in PARTS),
    *(NEWER, OLDER, REPORT),
]


def begin(path, config=CONFIG):
    """A run with two finished trainings and one under way."""
    run = open_run.open_run(path, config, fakes.ENVIRONMENT)
    for unit in (DENSE, LEVEL_1):
        fakes.save(run, unit, optimizer={"final": {"w": np.array([0.5 + unit.level, 0.0])}})
    for step in (100, 200):
        run.save_checkpoint(UNDER_WAY, step, fakes.state(step))
    run.write_report(lambda: {"index.html": b"<html>"})


def contents(path):
    """What counts of a run; not who held its locks, nor how long it took."""
    found = {str(file.relative_to(path)): file for file in sorted(path.rglob("*")) if file.is_file()}
    return {name: file.read_bytes() for name, file in found.items() if not name.endswith((".lock", "timing.json"))}


def put_back(path, files):
    for name, content in files.items():
        (path / name).write_bytes(content)


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "run"
    begin(path)
    return path, contents(path), survey(path)


@pytest.fixture
def run(undamaged):
    """A directory, its files, and all that a resume reads of it; put back afterwards."""
    yield undamaged
    put_back(*undamaged[:2])


def readers(run, unit):
    """What a resume reads of a finished training, by the file it stands in."""
    return {
        "ticket.tfl": lambda: ticket.pack(run.ticket(unit, SHAPES)),
        "optimizer.tfl": lambda: ticket.pack(Ticket({}, {"": run.optimizer(unit, "final", SHAPES)})),
        "history.csv": lambda: run.history(unit).to_csv(),
        "metrics.json": lambda: json.dumps(run.metrics(unit)),
    }


def state(unpacked):
    """The bytes of a state that a training would go on from."""
    found, variables, by_replica = unpacked
    return ticket.pack(progress.pack(found, variables, fakes.TICKET.masks, by_replica))


def of_step(step):
    return state(progress.unpack(fakes.state(step)))


def newest_state(run, unit):
    """That which a training goes on from, found as it does itself."""
    for step in run.checkpoint_steps(unit):
        try:
            return state(progress.unpack(run.checkpoint(unit, step, STATE)))
        except (DamageError, TicketError):
            run.remove_checkpoint(unit, step)
    return NO_STATE


def survey(path):
    """What each reader gives, or the DamageError it raises; any other error comes out of here."""
    run = open_run.open_run(path, CONFIG, fakes.ENVIRONMENT)
    found = {(None, "config"): run.config, (None, "environments"): run.environments()}
    for unit in (DENSE, LEVEL_1, UNDER_WAY):
        run.tidy(unit)
        if run.is_done(unit):
            found[unit, "faults"] = [str(file.relative_to(path)) for file, fault in run.verify(unit) if fault]
            found |= {(unit, name): attempt(read) for name, read in readers(run, unit).items()}
        else:
            found[unit, "state"] = newest_state(run, unit)
    return found


def attempt(read):
    try:
        return read()
    except DamageError as error:
        return error


def unit_of(name):
    """Which training a file belongs to, None if to none."""
    return Unit(1, int(name.split("/")[1][-2:])) if name.startswith("replicate") else None


def expected(path, name, before):
    """What a survey gives when one file is damaged: all that it gave before, but for what that file holds."""
    unit, (folder, _, file) = unit_of(name), name.rpartition("/")
    refused = {unit: PARTS[1:] if file == "manifest.json" else [file]} if unit in (DENSE, LEVEL_1) else {}
    now = dict(before)
    for damaged, parts in refused.items():
        now |= {(damaged, part): Refused(path / name, path / folder) for part in parts}
        now[damaged, "faults"] = [name]
    if name == NEWER:
        now[UNDER_WAY, "state"] = of_step(100)
    return now


class Refused:
    """Equal to an error that names a file and the way out."""

    def __init__(self, file, folder):
        self.file, self.folder = file, folder

    def __eq__(self, other):
        way_out = f"Delete {self.folder} to have it redone."
        return isinstance(other, DamageError) and str(self.file) in str(other) and str(other).endswith(way_out)

    def __repr__(self):
        return f"DamageError that names {self.file}"


def damages(content):
    """What a file can have become, each with its description."""
    half, size = len(content) // 2, len(content)
    for length in sorted({0, 1, half, size - 1}):
        yield f"{length} of {size} bytes", content[:length]
    yield "all zeros", bytes(size)
    yield "one byte more", content + b"\n"
    yield "twice", content + content
    for position in sorted({0, 1, size // 5, half, 4 * size // 5, size - 70, size - 2, size - 1} & set(range(size))):
        yield f"a bit of byte {position}", flipped(content, position)


def flipped(content, position):
    damaged = bytearray(content)
    damaged[position] ^= 1 << position % 8
    return bytes(damaged)


def test_every_file_of_a_run_is_damaged_here(undamaged):
    assert sorted(FILES) == sorted(undamaged[1])


def test_an_undamaged_run_is_read_without_an_error(undamaged):
    path, files, before = undamaged
    assert not any(isinstance(found, DamageError) for found in before.values())
    assert before[DENSE, "faults"] == before[LEVEL_1, "faults"] == []
    assert before[UNDER_WAY, "state"] == of_step(200)
    assert survey(path) == before
    assert contents(path) == files


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_found_or_the_generation_before_is_used(run, name):
    path, files, before = run
    for what, content in damages(files[name]):
        (path / name).write_bytes(content)
        assert survey(path) == expected(path, name, before), what
        if name in GENERATIONS:
            assert contents(path) == files, what
        put_back(path, files)


@pytest.mark.parametrize("name", [name for name in FILES if name != REPORT])
def test_a_flipped_bit_is_found_wherever_it_is(run, name):
    path, files, _ = run
    assert not fault(path, name)
    with (path / name).open("r+b", buffering=0) as file:
        for position, byte in enumerate(files[name]):
            file.seek(position)
            file.write(bytes([byte ^ 1 << position % 8]))
            assert fault(path, name), position
            file.seek(position)
            file.write(bytes([byte]))
    assert not fault(path, name)


def fault(path, name):
    """What is found to be wrong with one file when it is read."""
    if name in GENERATIONS:
        return backups.fault(path / name)
    run, unit, file = Run(path, CONFIG), unit_of(name), name.rpartition("/")[2]
    if unit == UNDER_WAY:
        found = attempt(lambda: run.checkpoint(unit, int(file[len("checkpoint_") :][:10]), STATE))
    else:
        found = attempt(readers(run, unit).get(file, lambda: run.metrics(unit)))
    return str(found) if isinstance(found, DamageError) else ""


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_found_or_the_generation_before_is_used(run, name):
    path, files, before = run
    (path / name).unlink()
    found = survey(path)
    if name.endswith("manifest.json"):  # whoever takes it away asks for the level to be done again
        assert found[unit_of(name), "state"] == NO_STATE
        assert [key for key, value in found.items() if before.get(key) != value] == [(unit_of(name), "state")]
    else:
        assert found == expected(path, name, before)
    if name in GENERATIONS:
        assert contents(path) == files


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_has_grown_by_a_gigabyte_is_refused_without_reading_it(run, name):
    path, files, before = run
    os.truncate(path / name, len(files[name]) + 2**30)
    tracemalloc.start()
    found = survey(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert found == expected(path, name, before)


@pytest.mark.parametrize("damage", ["zeros", "gone", "swapped"])
def test_where_both_generations_of_a_state_are_damaged_the_training_starts_anew(run, damage):
    path, files, before = run
    for name, other in ((NEWER, OLDER), (OLDER, NEWER)):
        if damage == "gone":
            (path / name).unlink()
        else:
            (path / name).write_bytes(bytes(len(files[name])) if damage == "zeros" else flipped(files[other], 99))
    assert survey(path) == before | {(UNDER_WAY, "state"): NO_STATE}
    assert not Run(path, CONFIG).checkpoint_steps(UNDER_WAY)


@pytest.mark.parametrize("name", ["config", "environment"])
def test_where_both_generations_of_a_record_are_damaged_the_run_stops_and_nothing_is_written(run, name):
    path, files, _ = run
    for generation in backups.paths(path, name):
        generation.write_bytes(flipped(generation.read_bytes(), 50))
    before = contents(path)
    with pytest.raises(DamageError, match=rf"{name}.json is damaged: its checksum .* So is its backup: restore one"):
        survey(path)
    assert contents(path) == before != files


@pytest.mark.parametrize("source", ["another level", "another experiment", "another replicate"])
def test_a_level_in_the_place_of_another_is_found(run, tmp_path, source):
    path, _, before = run
    if source == "another experiment":
        begin(tmp_path / "other", fakes.experiment(seed=1, replicates=1, prune=Prune(levels=2)))
        folder = tmp_path / "other/replicate_1/level_01"
    elif source == "another replicate":
        other = open_run.open_run(tmp_path / "other", fakes.experiment(), fakes.ENVIRONMENT)
        fakes.save(other, Unit(2, 1), optimizer={"final": {"w": np.array([1.5, 0.0])}})
        folder = other.folder(Unit(2, 1))
    else:
        folder = path / "replicate_1/level_00"
    shutil.copytree(folder, path / "replicate_1/level_01", dirs_exist_ok=True)
    found = survey(path)
    assert found == expected(path, "replicate_1/level_01/manifest.json", before)
    assert "it belongs to another unit" in str(found[LEVEL_1, "ticket.tfl"])


@pytest.mark.parametrize("name", PARTS)
def test_a_file_in_the_place_of_another_levels_is_found(run, name):
    path, files, before = run
    here, there = (f"replicate_1/level_0{level}/{name}" for level in (1, 0))
    (path / here).write_bytes(files[there])
    expectation = before if files[here] == files[there] else expected(path, here, before)
    assert survey(path) == expectation


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run"
    config = fakes.experiment(replicates=1, prune=Prune(levels=1))
    fakes.run(path, config)
    return path, contents(path), config


@pytest.fixture
def run_again(finished, monkeypatch):
    """The command of a finished run, its directory and files; it would start no worker."""
    path, files, config = finished
    monkeypatch.setattr(find_tickets_lib, "Workers", None)
    yield lambda: find_tickets_lib.find_tickets(config, path), path, files
    put_back(path, files)


def test_the_command_of_a_finished_run_changes_nothing(run_again):
    find_tickets, path, files = run_again
    find_tickets()
    assert contents(path) == files


def test_the_command_of_a_finished_run_puts_a_damaged_file_right_or_names_it(run_again):
    find_tickets, path, files = run_again
    for name, content in files.items():
        for what, damaged in [*damages(content)][::3]:
            (path / name).write_bytes(damaged)
            if name in GENERATIONS:
                find_tickets()
                assert contents(path) == files, (name, what)
            else:
                with pytest.raises(DamageError) as refused:
                    find_tickets()
                assert str(refused.value).startswith(f"{path / name} is damaged: "), what
                assert contents(path) == files | {name: damaged}, (name, what)
            put_back(path, files)


def test_the_command_says_how_many_more_files_are_damaged(run_again):
    find_tickets, path, _ = run_again
    for name in ("level_00/ticket.tfl", "level_00/history.csv", "level_01/manifest.json"):
        file = path / "replicate_1" / name
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        RunError, match=r"level_00/history.csv is damaged.* Damaged files in total: 3; see scripts/runs.py"
    ):
        find_tickets()
