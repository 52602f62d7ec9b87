"""The layer classes of a package, and the weights that the source of each makes."""

import ast
import contextlib
import importlib
import inspect
import pkgutil
import re
import warnings
from functools import cache

from tf_lottery.keras_compat import keras

MAKERS = ("add_weight", "add_variable", "Variable")


@cache
def layer_classes(package):
    """Return all layer classes that the modules of a package define, without its tests and metrics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = importlib.import_module(f"{package}.src")
        for module in pkgutil.walk_packages(root.__path__, f"{package}.src."):
            if not re.search("test|benchmark|backend", module.name):
                with contextlib.suppress(ImportError):  # of what is not installed, such as safetensors
                    importlib.import_module(module.name)
    classes = [known for known in subclasses(keras.layers.Layer) if known.__module__.startswith(f"{package}.")]
    classes = [known for known in classes if "test" not in known.__module__]
    return [known for known in classes if not issubclass(known, keras.metrics.Metric)]


def subclasses(base):
    """Return `base` and all classes that are derived from it and imported, by module and name."""
    found, waiting = set(), [base]
    while waiting:
        found.add(known := waiting.pop())
        waiting += [derived for derived in known.__subclasses__() if derived not in found]
    return sorted(found, key=lambda known: (known.__module__, known.__qualname__))


def matrices_made(layer_class):
    """Return (attribute, shape) of each weight that the body of a class makes, that can be trained and be a matrix.

    The attribute is None if the weight is put anywhere else, the shape is "?" if it is not written in the call.
    """
    body = _source(layer_class)
    holders = {
        id(part.value): part.targets[0].attr
        for part in ast.walk(body)
        if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Attribute)
    }
    found = []
    for call in ast.walk(body):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", None) in MAKERS:
            settings = {keyword.arg: keyword.value for keyword in call.keywords}
            shapes = [argument for argument in call.args if not isinstance(argument, ast.Constant)]  # not the name
            shape = settings.get("shape", shapes[0] if shapes else None)
            if not _is(settings.get("trainable"), False) and _may_be_matrix(shape):
                found.append((holders.get(id(call)), "?" if shape is None else ast.unparse(shape)))
    return found


def _source(layer_class):
    nodes = ast.walk(_tree(importlib.import_module(layer_class.__module__)))
    return next(node for node in nodes if isinstance(node, ast.ClassDef) and node.name == layer_class.__name__)


@cache
def _tree(module):
    return ast.parse(inspect.getsource(module))


def _is(node, value):
    return isinstance(node, ast.Constant) and node.value == value


def _may_be_matrix(shape):
    lengths = getattr(shape, "elts", None)
    return lengths is None or sum(not _is(length, 1) for length in lengths) > 1
