"""Every public name says what it is, what it takes, gives and refuses, and shows it; and the reference has it."""

import builtins
import dataclasses
import doctest
import inspect
import pkgutil
import re
from pathlib import Path

import fakes
import numpy as np
import pytest

import tf_lottery as tfl
from tf_lottery import errors, models
from tf_lottery.core import masks as masks_lib
from tf_lottery.experiment import config, open_run
from tf_lottery.experiment.storage import Unit
from tf_lottery.masking import conversion, model_masks, state
from tf_lottery.masking.ticket import Ticket
from tf_lottery.models import names

REFERENCE = Path(__file__).parents[1] / "docs/reference"
# These examples need a run or a download. Those of the first and the last run in a test below.
EXAMPLES_SKIPPED = ["tf_lottery.Run", "tf_lottery.data.prepare", "tf_lottery.load_network"]


def public():
    """Classes and functions that are for users, by the names that they import them by."""
    found = {f"tf_lottery.{name}": getattr(tfl, name) for name in tfl._MODULE_OF}
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


def without(holds):
    """The public names for which `holds(thing)` is not so."""
    return [name for name, thing in PUBLIC.items() if not holds(thing)]


def test_what_is_public_is_found():
    assert {"tf_lottery.compact", "tf_lottery.callbacks.LotteryTicket", "tf_lottery.criteria.movement"} <= set(PUBLIC)
    assert len(PUBLIC) > 60


def test_every_name_says_what_it_is_in_one_line():
    assert without(says_what_it_is) == []


def says_what_it_is(thing):
    first, _, rest = inspect.getdoc(thing).partition("\n")
    return first.endswith((".", ")")) and (not rest.strip() or rest.startswith("\n"))


def test_every_name_has_an_example_that_is_run():
    assert sorted(without(has_an_example_that_is_run)) == EXAMPLES_SKIPPED


def has_an_example_that_is_run(thing):
    """Return whether a line of its examples that is not skipped uses it; all errors share an example."""
    examples = doctest.DocTestParser().get_examples(sections(thing).get("Examples", ""))
    run = [example.source for example in examples if not example.options.get(doctest.SKIP)]
    return any(re.search(rf"\b(errors|{thing.__name__})\b", source) for source in run)


def test_every_name_lists_all_its_parameters():
    named = {name: thing for name, thing in PUBLIC.items() if not name.startswith("tf_lottery.errors.")}
    assert [name for name, thing in named.items() if missing(thing, inspect.signature(thing).parameters)] == []


def test_methods_that_list_parameters_list_all():
    classes = [thing for thing in PUBLIC.values() if inspect.isclass(thing)]
    methods = [method for thing in classes for method in vars(thing).values() if inspect.isfunction(method)]
    listing = [method for method in methods if "Args:\n" in (method.__doc__ or "")]
    assert listing
    assert [method for method in listing if missing(method, set(inspect.signature(method).parameters) - {"self"})] == []


def test_every_function_that_returns_something_says_what():
    functions = {name: thing for name, thing in PUBLIC.items() if inspect.isfunction(thing)}
    returning = [name for name, thing in functions.items() if inspect.signature(thing).return_annotation is not None]
    assert [name for name in returning if "Returns" not in sections(PUBLIC[name])] == []


def test_what_a_name_raises_are_exceptions():
    assert without(lambda thing: all(map(is_exception, raised(thing)))) == []


def is_exception(thing):
    return inspect.isclass(thing) and issubclass(thing, Exception)


def raised(thing):
    """Yield the classes that its docstring lists; None for a name that is none."""
    listed = re.findall(r"^ {4}([\w, ]+):", sections(thing).get("Raises", ""), re.MULTILINE)
    for name in (word for line in listed for word in line.split(", ")):
        yield getattr(errors, name, None) or getattr(builtins, name, None)


def entries():
    """What the pages of the reference list."""
    return [
        entry for page in REFERENCE.glob("*.md") for entry in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    ]


def test_the_reference_has_every_name():
    listed = set(entries())
    here = {
        name: {name, f"{thing.__module__}.{thing.__qualname__}", thing.__module__} for name, thing in PUBLIC.items()
    }
    assert [name for name, homes in here.items() if not homes & listed] == []


def test_every_entry_of_the_reference_is_there():
    places = [entry.rpartition(".") for entry in entries()]
    assert [name for module, _, name in places if not hasattr(pkgutil.resolve_name(module), name)] == []


@pytest.mark.parametrize("thing", [tfl.Run, tfl.load_network])
def test_examples_that_read_a_run_find_what_they_say(thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = open_run.open_run("runs/digits_lenet", fakes.experiment(replicates=1), {})
    model = conversion.make_prunable(models.build("lenet_300_100", (8, 8, 1), 10))
    masks = {
        name: np.arange(mask.size).reshape(mask.shape) < round(0.64 * mask.size)
        for name, mask in model_masks.get_masks(model).items()
    }
    weights = masks_lib.apply(state.weights(model), masks)
    fakes.save(run, Unit(1, 2), ticket=Ticket(masks, {"rewind": weights, "final": weights}))
    text = inspect.getdoc(thing).replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {}, thing.__name__, None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0
