"""Whatever a file holds, its reader gives what was written or a typed error: no crash, no hang, no flood of memory.

Three kinds of content: any bytes; what was written, edited here and there; and forged files, whose checksums are right
around what no writer would write.
"""

import contextlib
import copy
import hashlib
import json
import struct
import tracemalloc
import zlib

import fakes
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from tf_lottery import files
from tf_lottery.errors import DamageError, LotteryError, RunError, TicketError
from tf_lottery.experiment import backups, config as config_lib, open_run, validation
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.masking import ticket
from tf_lottery.masking.ticket import Ticket
from tf_lottery.training import progress

FINISHED, UNDER_WAY, STEP = Unit(1, 0), Unit(1, 1), 100
GROUP = {"w": (2,), "bias": (3,)}
STATE = progress.shapes({"weights": GROUP, "optimizer": {"0000": (), "0001": (2,)}}, [20], {"w": (2,)}, replicas=2)
few = settings(max_examples=150)

ODD = [
    *(0, -1, 2**31, 2**63, 2**70, 10**400, -0.0, 0.5, 1e308, True, None, "", "w", "weights", "0x1p-1", "nan", "inf"),
    *("(", "a{99999999999999999999}", "(((", "w=1e-999999999", "every 1it", "every 0it", "999999999999999999it", "1ep"),
    *("../w", "/", "\0", "\ud800", [], [0], [2], [-1], [2**40, 2**40], [0, 2**70], {}, {"bytes": 1, "sha256": ""}),
]
JSON = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = open_run.open_run(tmp_path_factory.mktemp("fuzz") / "run", fakes.experiment(), fakes.ENVIRONMENT)
    fakes.save(run, FINISHED, optimizer={"final": {"w": np.zeros(2)}})
    run.save_checkpoint(UNDER_WAY, STEP, fakes.state(STEP))
    backups.paths(run.path, "config")[1].unlink()
    backups.paths(run.path, "environment")[1].unlink()
    return run


# Who reads what, and what of it counts, by the file's path in the run.
IN_LEVEL = "replicate_1/level_00/"
READERS = {
    "config.json": lambda run: Run.load(run.path).config,
    "environment.json": lambda run: Run.load(run.path).environments(),
    IN_LEVEL + "manifest.json": lambda run: everything(run),
    IN_LEVEL + "ticket.tfl": lambda run: ticket.pack(run.ticket(FINISHED)),
    IN_LEVEL + "metrics.json": lambda run: run.metrics(FINISHED),
    IN_LEVEL + "history.csv": lambda run: run.history(FINISHED).to_csv(),
    f"replicate_1/level_01/checkpoint_{STEP:010d}.tfl": lambda run: state(run),
}


def everything(run):
    found = [ticket.pack(run.ticket(FINISHED)), run.metrics(FINISHED), run.history(FINISHED).to_csv()]
    return [*found, run.optimizer(FINISHED, "final")["w"].tolist(), [fault for _, fault in run.verify(FINISHED)]]


def state(run):
    found, variables, by_replica = progress.unpack(run.checkpoint(UNDER_WAY, STEP, STATE))
    return ticket.pack(progress.pack(found, variables, fakes.TICKET.masks, by_replica))


def read(run, name, content):
    """What the reader of a file makes of `content`; the error, if it is one of ours."""
    path = run.path / name
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        return READERS[name](run)
    except LotteryError as error:
        return error
    finally:
        path.write_bytes(whole)


def edited(draw, content):
    """Content with a few pieces of it replaced, inserted, removed or repeated."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(len(content), start + 40)))
        new = draw(st.sampled_from([b"", 2 * content[start:stop]]) | st.binary(max_size=20))
        content = content[:start] + new + content[stop:]
    return content


def changed(draw, tree):
    """A tree of JSON in which a few values have become something else, are gone, or have another name."""
    tree = copy.deepcopy(tree)

    def new():
        return copy.deepcopy(draw(JSON))  # what is sampled is shared, and may be changed in the next round

    for _ in range(draw(st.integers(1, 2))):
        places = list(entries(tree))
        if not places:
            break
        owner, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(["other", "other", "other", "gone", "added", "copied"]))
        if kind == "gone":
            del owner[key]
        elif kind == "added" and isinstance(owner, list):
            owner.append(new())
        elif kind == "added":
            owner[draw(st.text(max_size=4))] = new()
        elif kind == "copied":
            owner[key] = copy.deepcopy(draw(st.sampled_from([other[name] for other, name in places])))
        else:
            owner[key] = new()
    return tree


def entries(tree):
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield tree, key
        yield from entries(value)


def header_of(packed):
    (length,) = struct.unpack("<Q", packed[8:16])
    return json.loads(packed[16 : 16 + length]), packed[16 + length : -32]


def forged(header, payload):
    """A ticket file with a right checksum around whatever an attacker likes."""
    text = json.dumps(header).encode()
    body = ticket.MAGIC + struct.pack("<Q", len(text)) + text + payload
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize("name", READERS)
@few
@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_typed_error(run, name, content):
    assert isinstance(read(run, name, content), LotteryError)


@pytest.mark.parametrize("name", READERS)
@few
@given(data=st.data())
def test_an_edited_file_is_what_it_was_or_a_typed_error(run, name, data):
    whole = (run.path / name).read_bytes()
    content = edited(data.draw, whole)
    found = read(run, name, content)
    assert isinstance(found, LotteryError) == (content != whole)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of regexes that other versions of Python will read otherwise
@pytest.mark.parametrize("name", ["config.json", "environment.json", IN_LEVEL + "manifest.json"])
@few
@given(data=st.data())
def test_forged_json_is_read_or_a_typed_error(run, name, data):
    content = changed(data.draw, files.unseal((run.path / name).read_bytes()))
    found = read(run, name, files.seal(content or {"a": 1}))
    if name == "config.json" and not isinstance(found, LotteryError):
        validation.check(found)


@few
@given(data=st.data())
def test_a_forged_ticket_is_read_or_a_typed_error(data):
    header, payload = header_of(ticket.pack(fakes.state(STEP)))
    content = forged(changed(data.draw, header), data.draw(st.just(payload) | st.binary(max_size=50)))
    for shapes in (None, STATE):
        try:
            found = ticket.unpack(content, max_bytes=10_000, shapes=shapes)
        except TicketError:
            continue
        arrays = [*found.masks.values(), *(array for group in found.weights.values() for array in group.values())]
        assert sum(array.nbytes for array in arrays) <= 10_000
        assert shapes is None or set(found.masks) <= set(shapes["masks"])


@few
@given(data=st.data())
def test_a_forged_state_is_gone_on_with_or_a_typed_error(run, data):
    header, payload = header_of(run.checkpoint_path(UNDER_WAY, STEP).read_bytes())
    header["metadata"] = changed(data.draw, header["metadata"])
    found = read(run, f"replicate_1/level_01/checkpoint_{STEP:010d}.tfl", forged(header, payload))
    assert isinstance(found, bytes | LotteryError)


@few
@given(metadata=st.dictionaries(st.sampled_from([*fakes.state(1).metadata]), JSON), data=st.data())
def test_no_metadata_and_no_groups_make_more_of_a_state_than_a_typed_error(metadata, data):
    whole = fakes.state(STEP)
    groups = {name: arrays for name, arrays in whole.weights.items() if data.draw(st.booleans())}
    try:
        found, _, _ = progress.unpack(Ticket(whole.masks, groups, {**whole.metadata, **metadata}))
    except TicketError:
        return
    assert all(type(number) is int and number >= 0 for number in (found.step, found.counted, found.early_stop_step))
    assert all(type(value) in (int, float) for row in found.history for value in row.values())


@pytest.mark.filterwarnings("ignore")  # of pandas, about columns of several types
@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "ticket.tfl", "optimizer.tfl"])
@few
@example(content=b"[" * 100_000)
@given(content=st.binary(max_size=60) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_a_file_that_its_manifest_vouches_for_is_read_or_a_typed_error(run, name, content):
    path = run.folder(FINISHED) / "manifest.json"
    whole, other = path.read_bytes(), (run.folder(FINISHED) / name).read_bytes()
    manifest = files.unseal(whole)
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (run.folder(FINISHED) / name).write_bytes(content)
    path.write_bytes(files.seal(manifest))
    with contextlib.ExitStack() as stack:
        stack.callback(path.write_bytes, whole)
        stack.callback((run.folder(FINISHED) / name).write_bytes, other)
        try:
            everything(run)
        except DamageError as error:
            refused = str(error)
        else:
            return
    assert str(run.folder(FINISHED) / name) in refused


@pytest.mark.parametrize("depth", [50, *range(880, 1000, 4), 100_000])
def test_a_record_of_any_depth_is_a_typed_error(run, depth):
    body = json.dumps(config_lib.fields(run.config), indent=2)[:-2].replace("3", "[" * depth + "]" * depth, 1).encode()
    checksum = hashlib.sha256(body + b"\n}\n").hexdigest().encode()
    found = read(run, "config.json", body + b',\n  "sha256": "' + checksum + b'"\n}\n')
    assert isinstance(found, RunError)


def mask(name="w", shape=(2,), content=b"\xff"):
    packed = zlib.compress(content)
    return {"name": name, "shape": list(shape), "bytes": len(packed)}, packed


BOMBS = {
    "a mask larger than its shape": (*mask(content=bytes(2**26)), []),
    "a mask of another shape": (*mask(shape=(2**26,), content=bytes(2**23)), []),
    "a mask that nobody knows": (*mask(name="x", shape=(2**26,), content=bytes(2**23)), []),
    "an array of another shape": (*mask(), [{"group": "weights", "name": "w", "dtype": "float64", "shape": [2**27]}]),
    "an array that nobody knows": (*mask(), [{"group": "weights", "name": "x", "dtype": "float64", "shape": [2**27]}]),
    "arrays without values": (*mask(), [{"group": "g", "name": str(i), "shape": [0, 2**40]} for i in range(1000)]),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_before_there_is_room_for_it(bomb):
    entry, packed, arrays = BOMBS[bomb]
    arrays = [{"masked": True, "bytes": 0, **array} for array in arrays]
    content = forged({"version": 1, "masks": [entry], "arrays": arrays, "metadata": {}}, packed)
    tracemalloc.start()
    with pytest.raises(TicketError):
        ticket.unpack(content, shapes=STATE)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()
