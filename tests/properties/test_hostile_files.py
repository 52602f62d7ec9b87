"""A file whose checksums are right may hold anything: it is read, or refused in one line, and controls nothing.

A genuine run and a genuine directory of a LotteryTicket are made once. In one file at a time a field is replaced,
removed, added or renamed, and all checksums are made anew, as somebody would who passes on such a directory. Then
everything is read that commands, a resuming training run and the callback read.
"""

import copy
import hashlib
import io
import json
import struct
import warnings
from contextlib import redirect_stdout

import fakes
import fits
import pytest
import tiny
from hypothesis import given, settings, strategies as st
from tiers import nightly

from tf_lottery import data, files, models
from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.errors import DamageError, LotteryError, StoppedError
from tf_lottery.experiment import imp, open_run, plan
from tf_lottery.experiment.checkpoints import Checkpointer, Hooks
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train
from tf_lottery.experiment.setups import Setups
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.experiment.unit_training import UnitTraining
from tf_lottery.keras_compat import keras
from tf_lottery.masking import model_tickets, ticket
from tf_lottery.report import json_output, overview, page, terminal
from tf_lottery.report.figures import curves, style

CONFIG = Experiment(
    replicates=2,
    model=Model("lenet_300_100"),
    data=Data("tiny"),
    train=Train(optimizer="sgd", learning_rate=0.1, batch_size=6, steps="12it", evaluate_every="4it"),
    prune=Prune(levels=1, fraction=0.5, rewind_to="5it"),
    controls=("random_mask",),
    stability=Stability(levels=(1,), shuffle_seeds=1, points=3),
)
STOPPED, STEP = Unit(2, 0), 8
EXAMPLES = [10, nightly(100)]

RED, REVERSED, MARKUP = "\x1b[31mred\x1b[0m\x07", "\u202egnp.exe\u2028", "<script>alert(1)</script>"
NAMES = [RED, REVERSED, MARKUP, "\n\r\0", "\ud800", "$x$ $", "x" * 200_000, "level", "../up", ""]
WRONG = [
    *NAMES,
    *(None, True, False, 0, -1, 1, 0.5, -0.5, 1e308, 2**53 + 1, 2**70, 10**400, [], [[]], [0], {}, {"a": 1}),
    *([RED], {RED: REVERSED}, ["a"] * 10_000, json.loads("[" * 500 + "]" * 500), "0x1p-1", "nan", "12it", "0" * 64),
]


@pytest.fixture(scope="module", autouse=True)
def tiny_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "build", lambda name, input_shape, num_classes: tiny.dense())
        patch.setitem(data.SOURCES, "tiny", lambda: tiny.DATASET)
        patch.setattr(style, "png", lambda draw: b"")
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The directory of a genuine run whose second replicate was stopped, its setups, and its files."""
    run = open_run.open_run(tmp_path_factory.mktemp("hostile") / "run", CONFIG, fakes.ENVIRONMENT)
    setups = Setups(fakes.settled(CONFIG))
    for unit in plan.units(CONFIG):
        if unit.replicate == 1:
            imp.train_unit(run, setups, unit)
    trained = []
    with pytest.raises(StoppedError):
        imp.train_unit(
            run, setups, STOPPED, Hooks(stop_requested=lambda: sum(trained) >= STEP, on_steps=trained.append)
        )
    assert run.checkpoint_steps(STOPPED) == [STEP]
    return run.path, setups, {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}


LEVEL = "replicate_1/level_01"
OTHER_ORDER = "replicate_1/shuffle_seed_1/level_01"
FILES = [
    *("config.json", "environment.json", f"{LEVEL}/manifest.json", f"{LEVEL}/metrics.json", f"{LEVEL}/history.csv"),
    *(f"{LEVEL}/timing.json", f"{LEVEL}/ticket.tfl", "replicate_1/level_00/ticket.tfl"),
    *("replicate_1/level_00/optimizer.tfl", f"{OTHER_ORDER}/line.csv"),
    f"replicate_2/level_00/checkpoint_{STEP:010d}.tfl",
]


def read_everything(path, setups):
    """Read a run as all commands and a resuming training run do; return what they show."""
    yield lambda: listed(path)
    yield lambda: shown(terminal.show_run, lambda run: overview.read(run), path)
    yield lambda: shown(terminal.show_files, lambda run: [*overview.verify(run)], path)
    yield lambda: json.dumps([json_output.of_unit(unit) for unit in overview.read(Run.load(path)).units], default=str)
    yield lambda: reported(path)
    yield lambda: repr(open_run.open_run(path, CONFIG, fakes.ENVIRONMENT).config)
    yield lambda: repr(open_run.open_run(path, CONFIG, {**fakes.ENVIRONMENT, "python": "4"}).config)
    for unit in (Unit(1, 1, "random_mask"), Unit(1, 1)):
        yield lambda unit=unit: started(path, setups, unit)
    yield lambda: resumed(path, setups)
    yield lambda: repr(model_tickets.restore_ticket(setups.of("").trainer.model, Run.load(path).ticket(Unit(1, 1))))


def listed(path):
    return shown(lambda run: terminal.show_runs([run], []), lambda run: overview.read(run), path)


def shown(show, read, path):
    with redirect_stdout(out := io.StringIO()):
        show(read(Run.load(path)))
    return out.getvalue()


def reported(path):
    run = Run.load(path)
    with redirect_stdout(out := io.StringIO()):
        terminal.show_report(run, page.write(run))
    return out.getvalue() + (path / "report/index.html").read_text() + (path / "report/tables.md").read_text()


def started(path, setups, unit):
    """Set the network to the start of a unit, from the results of other units."""
    network = UnitTraining(Run.load(path), setups, unit, Hooks(writes=False))
    network.rewind(network.prune(network.ticket(level=0, control="")))
    return ""


def resumed(path, setups):
    notes, trainer = [], setups.of("").trainer
    hooks = Hooks(writes=False, on_note=notes.append)
    Checkpointer(Run.load(path), STOPPED, trainer, hooks, from_step=0, snapshots_at=[5]).resume()
    with redirect_stdout(out := io.StringIO()):
        for note in notes:
            terminal.say(note)
    return out.getvalue()


def check_shown(read):
    """Read something; it must be a typed error of one line, or show nothing that a terminal or browser obeys."""
    try:
        text = read()
    except LotteryError as error:
        found, text = error, str(error)
        obeyed = {character for character in text if not character.isprintable()}
    else:
        found, obeyed = None, {character for character in text if not character.isprintable()} - {"\n"}
    assert obeyed == set()
    assert MARKUP not in text or "<html" not in text
    return found


def places(tree):
    """Yield each field of JSON values as (owner, key)."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield tree, key
        yield from places(value)


def changed(draw, tree):
    """Replace, remove, add or rename a field of JSON values."""
    tree = copy.deepcopy(tree)
    owner, key = draw(st.sampled_from([*places(tree)]))
    kind = draw(st.sampled_from(["other", "other", "other", "other", "gone", "added", "renamed"]))
    new = copy.deepcopy(draw(st.sampled_from(WRONG)))
    if kind == "other":
        owner[key] = new
    elif kind == "added" and isinstance(owner, dict):
        owner[draw(st.sampled_from(NAMES))] = new
    elif kind == "renamed" and isinstance(owner, dict):
        owner[draw(st.sampled_from(NAMES))] = owner.pop(key)
    elif kind == "added":
        owner.append(new)
    else:
        del owner[key]
    return tree


def rewritten(draw, name, content):
    """Return a file with one field changed, and its own checksum made anew."""
    if name.endswith(".tfl"):
        return forged(content, lambda header: changed(draw, header))
    if name.endswith(".csv"):
        rows = [line.split(",") for line in content.decode().splitlines()]
        found = changed(draw, rows)
        return "\n".join(",".join(map(str, row if isinstance(row, list) else [row])) for row in found).encode(
            errors="surrogatepass"
        )
    if name.rpartition("/")[2] in ("metrics.json", "timing.json"):
        return json.dumps(changed(draw, json.loads(content))).encode()
    return files.seal(changed(draw, files.unseal(content)) or {"a": 1})


def forged(packed, change):
    (length,) = struct.unpack("<Q", packed[8:16])
    text = json.dumps(change(json.loads(packed[16 : 16 + length]))).encode()
    body = ticket.MAGIC + struct.pack("<Q", len(text)) + text + packed[16 + length : -32]
    return body + hashlib.sha256(body).digest()


def plant(path, name, content):
    """Write a file of a run, and enter it in the manifest beside it or in the backup."""
    (path / name).write_bytes(content)
    folder, _, file = name.rpartition("/")
    if file in ("config.json", "environment.json"):
        (path / file.replace(".", ".backup.")).write_bytes(content)
    elif file not in ("manifest.json", "timing.json") and not file.startswith("checkpoint"):
        manifest = files.unseal((path / folder / "manifest.json").read_bytes())
        manifest["files"][file] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (path / folder / "manifest.json").write_bytes(files.seal(manifest))


def put_back(whole):
    for file, content in whole.items():
        if not file.exists() or file.read_bytes() != content:
            file.write_bytes(content)


def test_the_files_of_a_genuine_run_are_read_and_all_kinds_are_here(made):
    path, setups, whole = made
    errors = [check_shown(read) for read in read_everything(path, setups)]
    assert [str(error) for error in errors if error] == [str(errors[6])]
    assert "was made in another environment" in str(errors[6])
    names = {file.name for file in whole if not file.name.endswith(".lock") and "backup" not in file.name}
    assert names == {name.rpartition("/")[2] for name in FILES}


@pytest.mark.filterwarnings("ignore")  # of pandas, about columns of several types
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", FILES)
def test_a_field_of_a_run_with_something_else_is_one_line_or_harmless(made, name, examples):
    path, setups, whole = made

    @settings(max_examples=examples)
    @given(data=st.data())
    def check(data):
        plant(path, name, rewritten(data.draw, name, whole[path / name]))
        try:
            for read in read_everything(path, setups):
                check_shown(read)
        finally:
            put_back(whole)

    check()


METRICS = f"{LEVEL}/metrics.json"
OTHER_TYPES = ["0.5", True, [0.5], {"a": 0.5}, float("inf")]


@pytest.mark.parametrize("field", [*fakes.metrics(fakes.unit()), "evaluated_weights", "seeds"])
def test_each_field_of_metrics_is_named_if_it_is_of_another_type(made, field):
    path, _, whole = made
    metrics = json.loads(whole[path / METRICS])
    others = [value for value in OTHER_TYPES if type(value) is not type(metrics[field])]
    wrong = [metrics | {field: value} for value in others]
    if field not in ("evaluated_weights", "seeds"):
        wrong.append({name: value for name, value in metrics.items() if name != field})
    for content in wrong:
        plant(path, METRICS, json.dumps(content).encode())
        try:
            with pytest.raises(DamageError, match=rf"metrics.json is damaged: `{field}\b.* Delete .* redone"):
                Run.load(path).metrics(Unit(1, 1))
        finally:
            put_back(whole)


@pytest.mark.parametrize("name", ["level", "replicate", "branch", "variant", "test_accuracy_mean"])
def test_metrics_that_name_another_unit_are_damage_and_change_no_report(made, name):
    path, _, whole = made
    plant(path, METRICS, json.dumps(json.loads(whole[path / METRICS]) | {name: 0}).encode())
    try:
        with pytest.raises(DamageError, match=rf"metrics.json is damaged: `{name}` is unknown"):
            page.write(Run.load(path))
    finally:
        put_back(whole)


@pytest.mark.parametrize(("field", "value"), [("level", 0), ("replicate", 2), ("control", "reinit"), ("level", True)])
def test_a_ticket_that_names_another_unit_is_damage(made, field, value):
    path, _, whole = made
    name = f"{LEVEL}/ticket.tfl"
    plant(path, name, forged(whole[path / name], lambda h: h | {"metadata": h["metadata"] | {field: value}}))
    try:
        with pytest.raises(DamageError, match=r"ticket.tfl is damaged: it belongs to another unit"):
            Run.load(path).ticket(Unit(1, 1))
    finally:
        put_back(whole)


@pytest.mark.parametrize(("old", "new"), [("dense/kernel", "other/kernel"), ('"rewind"', '"wind"')])
def test_a_ticket_of_another_network_is_damage(made, old, new):
    path, _, whole = made
    name = f"{LEVEL}/ticket.tfl"
    plant(path, name, forged(whole[path / name], lambda h: json.loads(json.dumps(h).replace(old, new))))
    try:
        with pytest.raises(DamageError, match=r"ticket.tfl is damaged: (its arrays|a ticket of a run)"):
            page.write(Run.load(path))
    finally:
        put_back(whole)


def test_a_checkpoint_of_another_step_is_not_used(made):
    path, _, whole = made
    name = f"replicate_2/level_00/checkpoint_{STEP:010d}.tfl"
    plant(path, name, forged(whole[path / name], lambda h: h | {"metadata": h["metadata"] | {"step": 4}}))
    try:
        with pytest.raises(DamageError, match=r"belongs to another unit"):
            Run.load(path).checkpoint(STOPPED, STEP)
    finally:
        put_back(whole)


@pytest.mark.parametrize("name", ["$x$ $", "$\\frac$", RED, "x" * 10_000, "_hidden"])
def test_any_name_of_a_weight_can_be_drawn(made, name):
    from tf_lottery.report import results

    frame = results.rows(Run.load(made[0])).rename(columns={"density:dense/kernel": f"density:{name}"})
    out = io.BytesIO()
    curves.density_by_layer(frame).savefig(out, format="png")
    assert len(out.getvalue()) > 1000


ARGUMENTS = {"fraction": 0.4, "epochs_per_level": 1, "rewind_to": 3, "rewind": "none"}
TICKET_FILES = ["settings.json", "records.json", "rewind.tfl", "level_00.tfl", "level_01.tfl", "state_01.tfl"]


def model():
    return fits.model(tiny.dense, keras.optimizers.SGD(0.05, momentum=0.9), seed=3)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The directory of a genuine LotteryTicket, a model, and the files."""
    path = tmp_path_factory.mktemp("hostile") / "tickets"
    fits.fit(model(), LotteryTicket(levels=1, directory=path, **ARGUMENTS), **fits.VALIDATED)
    return path, model(), {file: file.read_bytes() for file in path.iterdir()}


def read_directory(path, network):
    """Read a directory as a user does, and as a `fit` does that resumes it for one more level."""

    def tickets():
        return LotteryTicket(levels=2, directory=path, **ARGUMENTS)

    yield lambda: repr(tickets().records)
    yield lambda: ascii(tickets().to_frame().to_csv())
    yield lambda: repr([tickets().best(), tickets().ticket(0), tickets().ticket(1)])
    yield lambda: begun(tickets(), network)
    for name in ("rewind", "level_01", "state_01"):
        yield lambda name=name: repr(model_tickets.load_ticket(path / f"{name}.tfl"))
    yield lambda: repr(model_tickets.load_ticket(path / "level_01.tfl", network))


def begun(tickets, network):
    """Begin a `fit` that resumes, up to the first batch."""
    tickets.set_params({"epochs": 9, "steps": 8, "verbose": 0})
    tickets.set_model(network)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        tickets.on_train_begin()
        tickets.on_epoch_begin(0)
    return " ".join(str(one.message) for one in found)


def plant_in_directory(path, name, content):
    (path / name).write_bytes(content)
    if name.endswith(".tfl"):
        records = files.unseal((path / "records.json").read_bytes())
        records["files"][name.removesuffix(".tfl")] = content[-32:].hex()
        (path / "records.json").write_bytes(files.seal(records))


def test_a_genuine_directory_is_read_and_all_its_files_are_here(directory):
    path, network, whole = directory
    assert [check_shown(read) for read in read_directory(path, network)] == [None] * 8
    assert {file.name for file in whole if file.suffix != ".lock"} == set(TICKET_FILES)
    put_back(whole)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("level_01", '"group": "rewind"', '"group": "other"', "it lacks the arrays rewind"),
        ("level_01", '"level": 1', '"level": 0', "it belongs to level 0"),
        ("level_01", '"level": 1', '"level": true', "`level` must be a whole number"),
        ("level_01", '"state_at_k"', '"state"', "`state_at_k` is missing"),
        ("rewind", '"steps_per_epoch": 8', '"steps_per_epoch": "8"', "`steps_per_epoch` must be a whole number"),
        ("state_01", '"metadata": {}', '"metadata": {"level": 1}', "`level` is unknown"),
    ],
)
def test_arrays_with_other_metadata_or_groups_are_damage(directory, name, old, new, message):
    path, network, whole = directory
    file = path / f"{name}.tfl"

    def change(header):
        text = json.dumps(header)
        assert old in text
        return json.loads(text.replace(old, new))

    plant_in_directory(path, file.name, forged(whole[file], change))
    try:
        with pytest.raises(DamageError, match=rf"{file.name} is damaged: {message}"):
            begun(LotteryTicket(levels=2, directory=path, **ARGUMENTS), network)
    finally:
        put_back(whole)


def test_a_level_that_lacks_one_array_is_damage(directory):
    path, network, whole = directory

    def change(header):
        (one,) = [one for one in header["arrays"] if (one["group"], one["name"]) == ("rewind", "dense_1/kernel")]
        return header | {
            "arrays": [entry | {"group": "other"} if entry is one else entry for entry in header["arrays"]]
        }

    plant_in_directory(path, "level_01.tfl", forged(whole[path / "level_01.tfl"], change))
    try:
        with pytest.raises(DamageError, match="it lacks dense_1/kernel among the arrays rewind"):
            begun(LotteryTicket(levels=2, directory=path, **ARGUMENTS), network)
    finally:
        put_back(whole)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", TICKET_FILES)
def test_a_field_of_a_directory_with_something_else_is_one_line_or_harmless(directory, name, examples):
    path, network, whole = directory

    @settings(max_examples=examples)
    @given(data=st.data())
    def check(data):
        plant_in_directory(path, name, rewritten(data.draw, name, whole[path / name]))
        try:
            for read in read_directory(path, network):
                check_shown(read)
        finally:
            for file in set(path.iterdir()) - set(whole):
                file.unlink()
            put_back(whole)

    check()
