"""Exact compaction: units and channels that cannot matter are removed, and the model predicts as before."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tf_lottery import keras_compat
from tf_lottery.export import tracing
from tf_lottery.export.compaction import analysis as graph_analysis, findings, shrinking
from tf_lottery.export.compaction.analysis import Analysis
from tf_lottery.export.compaction.findings import Finding
from tf_lottery.masking import conversion, naming

__all__ = ["Finding", "analyse", "compact"]


def compact(model: Any) -> Any:
    """Return a smaller model that predicts as `model`: without the units and channels that cannot matter.

    What goes: units whose values nobody reads, because all weights from them are 0; and units that have one value
    whatever the model gets, because all weights to them are 0. What the latter add to others goes into the biases of
    those (of layers that had none, too: `use_bias` becomes True), where that is exact: not where a convolution also
    sees the zeros around what comes in. Channels that are added up, or bound in another way, go together or not at all.
    Every layer keeps at least one. The models inside a model are made smaller, too; their inputs and outputs stay.

    The two models are equal in real arithmetic, as long as all values in `model` are finite. In floating point sums are
    taken in another order, and constants are added in float64, so that predictions differ in the last digits; in half
    precision in the last digits of that.

    Args:
        model: A built model, with or without masks, ours or tfmot's. It is left as it is.

    Returns:
        A plain, uncompiled model with the same inputs, outputs and layer names; for inference, because what is constant
        then need not be so in training, and because it has no masks: what is pruned in it would be trained like all
        else. A subclassed model itself, with its masks applied and a warning: which of its layers reads what is not to
        be known.

    Raises:
        ModelError: `model` is not built.
        ExportError: a weight is NaN or infinite, or a bias would be too large for its dtype.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> masks = tfl.get_masks(model)
        >>> masks["dense_1/kernel"][:100] = False  # nothing reads the first 100 units of the layer before
        >>> tfl.set_masks(model, masks)
        >>> smaller = tfl.compact(model)
        >>> smaller.count_params(), smaller.layers[1].units
        (34110, 200)
    """
    plain = conversion.plain(model)
    analyses = _analyses(plain, _names(plain))
    smaller = {key: layer for analysis in analyses for key, layer in shrinking.smaller_layers(analysis).items()}
    if not smaller:
        return plain

    def make(layer: Any) -> Any:
        return smaller[id(layer)].make(layer) if id(layer) in smaller else conversion.layer_like(layer)

    def fill(old: Any, new: Any) -> None:
        return smaller[id(old)].fill(new) if id(old) in smaller else conversion.copy_state(old, new)

    return conversion.rebuilt(plain, make, fill)


def analyse(model: Any) -> dict[str, Finding]:
    """What `compact` would do.

    Args:
        model: See `compact`.

    Returns:
        For each layer that has units, by its path in the model: how many, how many would stay, and why no more go.
        Nothing for a subclassed model, with a warning.

    Raises:
        ModelError: `model` is not built.
        ExportError: a weight is NaN or infinite.

    Examples:
        >>> import tf_lottery as tfl
        >>> from tf_lottery.export import compaction
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> masks = tfl.get_masks(model)
        >>> masks["dense_1/kernel"][:100] = False
        >>> tfl.set_masks(model, masks)
        >>> compaction.analyse(model)["dense"]
        Finding(units=300, kept=200, why=None)
    """
    plain = conversion.plain(model)
    names = _names(plain)
    found: dict[str, Finding] = {}
    for analysis in _analyses(plain, names):
        found |= findings.findings(analysis, names)
    return found


def _names(model: Any) -> dict[int, str]:
    return {id(layer): name for name, layer in naming.named_layers(model).items()}


def _analyses(model: Any, names: Mapping[int, str]) -> list[Analysis]:
    """Of a model and of the models inside it."""
    if not keras_compat.is_layer_graph(model):
        warnings.warn(
            f"{type(model).__name__} stays as it is: it is a subclassed model, of which nobody but its own code knows "
            "which layer reads what. Only Sequential and functional models can be made smaller.",
            stacklevel=3,
        )
        return []
    tracing.check_finite(model)
    graphs = {id(graph): graph for graph, _ in _graphs(model)}
    called = Counter(key for graph in graphs.values() for key in {id(call.layer) for call in keras_compat.calls(graph)})
    fixed = {key for key, count in called.items() if count > 1}
    other = {id(graph) for graph, is_plain in _graphs(model) if not is_plain}  # BatchNorm may be training in those
    return [graph_analysis.analyse(graph, names, fixed) for key, graph in graphs.items() if key not in other]


def _graphs(model: Any, is_plain: bool = True) -> Iterator[tuple[Any, bool]]:
    """A model and the models inside it, once for each call, and whether the calls on the way to it are plain."""
    yield model, is_plain
    for call in keras_compat.calls(model):
        if keras_compat.is_layer_graph(call.layer):
            yield from _graphs(call.layer, is_plain and call.is_plain)
