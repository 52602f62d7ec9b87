"""Masks whose weights were renamed, replaced or removed after the masks were made: `pop`, `build`, a changed list."""

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Variable
from tf_lottery.masking import naming
from tf_lottery.masking.constraint import MaskOwner, mask_of


def refresh(owner: MaskOwner, root: Layer) -> list[str]:
    """Name the masks of `owner` as their weights are named now, and drop those whose weights are gone, with a warning.

    A weight that Keras has quantised is another variable, which has no constraint; it keeps its mask, by name.

    Args:
        owner: A layer that owns masks.
        root: The layer or model whose weights they mask.

    Returns:
        The names of the masks that it has dropped.

    Raises:
        ModelError: the mask of a quantised weight does not fit it any more.
    """
    if not owner.names:
        return []
    weights = naming.named_variables(root)
    now = {id(mask): name for name, weight in weights.items() if (mask := mask_of(weight)) is not None}
    names: dict[str, str] = {}
    dropped: list[str] = []
    for name, mask in owner.masks().items():
        if id(mask) in now:
            names[name] = now[id(mask)]
        elif _is_quantised(name, root):
            _check_fits(name, mask, weights.get(name))
            names[name] = name
        else:
            dropped.append(name)
    owner.rename_masks(names)
    if dropped:
        keras_compat.warn(
            f"{root.name!r} has other weights than when its masks were made, so that the masks of "
            f"{', '.join(map(repr, dropped))} are dropped. Weights that came later are dense: to prune them, call "
            "`make_prunable(strip_pruning(model))`."
        )
    return dropped


def _is_quantised(name: str, root: Layer) -> bool:
    path = name.rpartition("/")[0]
    layer = naming.named_layers(root).get(path) if path else root
    return getattr(layer, "quantization_mode", None) is not None


def _check_fits(name: str, mask: Variable, weight: Variable | None) -> None:
    if weight is None or tuple(weight.shape) != tuple(mask.shape):
        now = "is gone" if weight is None else f"has shape {tuple(weight.shape)}, its mask {tuple(mask.shape)}"
        raise ModelError(
            f"Weight {name!r} {now}: it has been replaced since its mask was made, as `quantize` does in packed "
            "formats. Strip the model first, `strip_pruning(model)`, and quantize what it returns."
        )
