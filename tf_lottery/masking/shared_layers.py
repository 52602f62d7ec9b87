"""The warning of models that share layers with one that `make_prunable` copies: they keep the old, dense layers."""

from tf_lottery import keras_compat
from tf_lottery.keras_compat import Layer, Model


def warn(model: Model, chosen: set[int]) -> None:
    """Warn if the graph of `model` shows that other models share layers with weights to prune, or use its outputs.

    A model whose layers are all in `model`, such as the encoder of an autoencoder, cannot be told from the base of
    transfer learning, and neither can a second head on a layer in the middle: there is no warning of these.

    Args:
        model: A functional or Sequential model that is about to be copied.
        chosen: The ids of the weights to prune.
    """
    called = [layer for layer in keras_compat.layers_called_elsewhere(model) if _has_any(layer, chosen)]
    users = keras_compat.users_of_outputs(model)
    signs = []
    if model in called:
        signs.append("the model itself is called in another one")
    if layers := [layer for layer in called if layer is not model]:
        signs.append(f"its layers {_names(layers)} are called in another one")
    if users:
        signs.append(f"its outputs are used by {_names(users)}")
    if signs:
        keras_compat.warn(
            f"`make_prunable` returns a copy of {model.name!r}, but {' and '.join(signs)}: models that share layers "
            "with the original keep these, dense and with the old weights. To prune what they share, call "
            "`make_prunable(model, in_place=True)`."
        )


def _has_any(layer: Layer, weights: set[int]) -> bool:
    return any(id(weight) in weights for weight in getattr(layer, "variables", ()))  # an operation (`x[0]`) has none


def _names(layers: list[Layer]) -> str:
    return ", ".join(repr(layer.name) for layer in layers[:5]) + (" …" if len(layers) > 5 else "")
