"""Exact compaction: a smaller model without the units and channels that cannot matter, which predicts as before."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping

from tf_lottery import keras_compat
from tf_lottery.export import tracing
from tf_lottery.export.compaction import explanations, shrinking
from tf_lottery.export.compaction.explanations import Finding
from tf_lottery.export.compaction.graph_analysis import Analysis, analyse_graph
from tf_lottery.keras_compat import Layer, Model
from tf_lottery.masking import conversion, naming, rebuilding

__all__ = ["Finding", "analyse", "compact"]


def compact(model: Model) -> Model:
    """Return a smaller model that predicts as `model`, without the units and channels that cannot matter.

    A unit goes if nothing reads its values, because all weights from it are 0; or if it has one value whatever the
    model gets, because all weights to it are 0. What the latter adds to other units goes into their biases (also in
    layers without biases: `use_bias` becomes True), where that is exact: not where a convolution also sees the zeros
    around its input. Channels that are added up, or bound in another way, go together or not at all. Every layer keeps
    at least one unit. The models inside a model are made smaller, too; their inputs and outputs stay.

    The two models are equal in real arithmetic, as long as all values in `model` are finite. In floating point sums are
    taken in another order, and constants are added in float64, so that predictions differ in the last digits of the
    dtype.

    Args:
        model: A built model, with or without masks, of tf_lottery or of tfmot. It is left as it is.

    Returns:
        A plain, uncompiled model with the same inputs, outputs and layer names. It is for inference: units that are
        constant at inference need not be constant in training, and without masks training would change pruned weights.
        A model with a `call` of its own is returned itself, with its masks applied and a warning, because only its code
        knows which of its layers reads what. A model masked in place of which nothing can go is returned itself, too.

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

    def make(layer: Layer) -> Layer:
        return smaller[id(layer)].make(layer) if id(layer) in smaller else rebuilding.layer_like(layer)

    def fill(old: Layer, new: Layer) -> None:
        if id(old) in smaller:
            smaller[id(old)].fill(new)
        else:
            rebuilding.copy_state(old, new)

    return rebuilding.rebuild(plain, make, fill, enters=keras_compat.is_layer_graph)


def analyse(model: Model) -> dict[str, Finding]:
    """Return what `compact` would do with each layer, and why it keeps units that seem idle.

    Args:
        model: See `compact`.

    Returns:
        For each layer that has units, by its path in the model: how many it has, how many would stay, and why no more
        go. Empty for a subclassed model, with a warning.

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
        found |= explanations.findings(analysis, names)
    return found


def _names(model: Model) -> dict[int, str]:
    return {id(layer): name for name, layer in naming.named_layers(model).items()}


def _analyses(model: Model, names: Mapping[int, str]) -> list[Analysis]:
    """Analyse a model and the models inside it."""
    if not keras_compat.is_layer_graph(model):
        warnings.warn(
            f"{type(model).__name__} stays as it is: it is a subclassed model, and only its code knows which of its "
            "layers reads what. Only Sequential and functional models can be made smaller.",
            stacklevel=3,
        )
        return []
    tracing.check_finite(model)
    graphs = {id(graph): graph for graph, _ in _graphs(model)}
    called = Counter(key for graph in graphs.values() for key in {id(call.layer) for call in keras_compat.calls(graph)})
    fixed = {key for key, count in called.items() if count > 1}
    other = {id(graph) for graph, is_plain in _graphs(model) if not is_plain}  # BatchNorm may be training in those
    return [analyse_graph(graph, names, fixed) for key, graph in graphs.items() if key not in other]


def _graphs(model: Model, is_plain: bool = True) -> Iterator[tuple[Model, bool]]:
    """Yield a model and the models inside it, once for each call, and whether all calls on the way to it are plain."""
    yield model, is_plain
    for call in keras_compat.calls(model):
        if keras_compat.is_layer_graph(call.layer):
            yield from _graphs(call.layer, is_plain and call.is_plain)
