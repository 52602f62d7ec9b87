"""Every public name says what it is, what it takes, gives and refuses, and shows it; and the reference has it."""

import builtins
import dataclasses
import doctest
import inspect
import pkgutil
import re
from pathlib import Path

import made_up
import numpy as np
import pytest

import tf_lottery as tfl
from tf_lottery import errors, layers, model_masks, models, state
from tf_lottery.core import masks as masks_lib
from tf_lottery.experiment import config, opening
from tf_lottery.experiment.storage import Unit
from tf_lottery.models import names
from tf_lottery.ticket import Ticket

REFERENCE = Path(__file__).parents[1] / "docs/reference"


def public():
    """Classes and functions that are for users, by the names that they import them by."""
    found = {f"tf_lottery.{name}": getattr(tfl, name) for name in tfl._HOMES}
    modules = {name: getattr(tfl, name) for name in tfl._MODULES}
    for path, module in {**modules, "models.names": names}.items():
        found |= {f"tf_lottery.{path}.{name}": getattr(module, name) for name in _names(module)}
    settings = [thing for thing in vars(config).values() if inspect.isclass(thing) and dataclasses.is_dataclass(thing)]
    found |= {f"tf_lottery.experiment.config.{thing.__name__}": thing for thing in settings}
    return {name: thing for name, thing in found.items() if inspect.isclass(thing) or inspect.isfunction(thing)}


def _names(module):
    own = (name for name, thing in vars(module).items() if getattr(thing, "__module__", None) == module.__name__)
    return getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]


def sections(thing):
    """The parts of a docstring by title, the first one without; what its module says of all in it counts as its own."""
    own, module = (
        re.split(r"^([A-Z]\w+):\n", f"{inspect.getdoc(item)}\n", flags=re.MULTILINE)
        for item in (thing, inspect.getmodule(thing))
    )
    return {**dict(zip(module[1::2], module[2::2], strict=True)), **dict(zip(own[1::2], own[2::2], strict=True))}


def missing(thing, parameters):
    """Those of the parameters that its docstring does not list."""
    listed = "".join(sections(thing).get(title, "") for title in ("Args", "Attributes"))
    names_in = re.findall(r"^ {4}([\w*, ]+):", listed, re.MULTILINE)
    return set(parameters) - {name.strip("* ") for line in names_in for name in line.split(",")}


PUBLIC = public()
every_name = pytest.mark.parametrize("name", PUBLIC)


def test_what_is_public_is_found():
    assert {"tf_lottery.compact", "tf_lottery.callbacks.LotteryTicket", "tf_lottery.criteria.movement"} <= set(PUBLIC)
    assert len(PUBLIC) > 60


@every_name
def test_it_says_what_it_is_in_one_line(name):
    first, _, rest = inspect.getdoc(PUBLIC[name]).partition("\n")
    assert first.endswith((".", ")"))
    assert not rest.strip() or rest.startswith("\n")


@every_name
def test_it_has_an_example_that_is_run(name):
    assert ">>> " in sections(PUBLIC[name])["Examples"]


@every_name
def test_it_lists_every_parameter(name):
    if not name.startswith("tf_lottery.errors."):
        assert not missing(PUBLIC[name], inspect.signature(PUBLIC[name]).parameters)


@every_name
def test_methods_that_list_parameters_list_all(name):
    for method in vars(PUBLIC[name]).values() if inspect.isclass(PUBLIC[name]) else ():
        if inspect.isfunction(method) and "Args:\n" in (method.__doc__ or ""):
            assert not missing(method, set(inspect.signature(method).parameters) - {"self"}), method


@every_name
def test_it_says_what_it_returns(name):
    if inspect.isfunction(PUBLIC[name]) and inspect.signature(PUBLIC[name]).return_annotation is not None:
        assert "Returns" in sections(PUBLIC[name])


@every_name
def test_what_it_raises_are_exceptions(name):
    listed = re.findall(r"^ {4}([\w, ]+):", sections(PUBLIC[name]).get("Raises", ""), re.MULTILINE)
    for error in (word for line in listed for word in line.split(", ")):
        assert issubclass(getattr(errors, error, None) or getattr(builtins, error), Exception)


@every_name
def test_the_reference_has_it(name):
    thing = PUBLIC[name]
    entries = re.findall(r"^::: (\S+)$", "\n".join(page.read_text() for page in REFERENCE.glob("*.md")), re.MULTILINE)
    assert {name, f"{thing.__module__}.{thing.__qualname__}", thing.__module__} & set(entries)


@pytest.mark.parametrize("page", sorted(REFERENCE.glob("*.md")), ids=lambda page: page.name)
def test_every_entry_of_the_reference_is_there(page):
    for entry in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE):
        module, _, name = entry.rpartition(".")
        assert hasattr(pkgutil.resolve_name(module), name), entry


@pytest.mark.parametrize("thing", [tfl.Run, tfl.load_network])
def test_examples_that_read_a_run_find_what_they_say(thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = opening.open_run("runs/digits_lenet", made_up.experiment(replicates=1), {})
    model = layers.make_prunable(models.build("lenet_300_100", (8, 8, 1), 10))
    masks = {
        name: np.arange(mask.size).reshape(mask.shape) < round(0.64 * mask.size)
        for name, mask in model_masks.get_masks(model).items()
    }
    made_up.save(run, Unit(1, 2), ticket=Ticket(masks, {"final": masks_lib.apply(state.weights(model), masks)}))
    text = inspect.getdoc(thing).replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {}, thing.__name__, None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0
