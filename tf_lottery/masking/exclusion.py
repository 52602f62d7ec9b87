"""The `exclude` argument of `make_prunable`: which weights are never pruned."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, keras

Exclude = Iterable[str | re.Pattern[str]] | str | re.Pattern[str] | Callable[[str], bool]


def excluded_names(exclude: Exclude, names: Sequence[str], layers: Mapping[str, Layer]) -> set[str]:
    """Return the weight names that `exclude` means.

    Args:
        exclude: See `make_prunable`.
        names: The names of all weights, prunable or not: to exclude what is never pruned changes nothing.
        layers: All layers of the model by path, from `naming.named_layers`.

    Raises:
        ModelError: an entry is unknown or ambiguous, or is neither a name nor a regex.
    """
    is_one_entry = isinstance(exclude, str | re.Pattern | type | keras.layers.Layer)
    if callable(exclude) and not is_one_entry:
        return {name for name in names if exclude(name)}
    entries: Any = [exclude] if is_one_entry or not isinstance(exclude, Iterable) else exclude
    return {name for entry in entries for name in _meant_by(entry, names, layers)}


def _meant_by(entry: Any, names: Sequence[str], layers: Mapping[str, Layer]) -> set[str]:
    """Return the weight names that one entry of `exclude` means."""
    if isinstance(entry, re.Pattern):
        matching = {name for name in names if entry.search(name)}
        if not matching:
            raise ModelError(f"`exclude` has {entry.pattern!r}, which no weight matches. Known: {', '.join(names)}")
        return matching
    if not isinstance(entry, str):
        raise ModelError(
            "`exclude` takes names of layers or weights, compiled regexes, or a function of the weight name. "
            f"Received: {entry!r}"
        )
    ours = {name for name in names if f"{name}/".startswith(f"{entry}/")}
    paths = [path for path, layer in layers.items() if layer.name == entry]
    keras_own = {name for name in names for path in paths if name.startswith(f"{path}/")}
    if ours and keras_own and ours != keras_own:  # Keras calls the first Dense of a process's second model dense_1
        raise ModelError(
            f"`exclude` names {entry!r}, which is ambiguous: Keras gives this name to the layer of "
            f"{sorted(keras_own)}, but it is the weight name of {sorted(ours)}. Write the full weight name, or a regex."
        )
    if not ours | keras_own:
        raise ModelError(
            f"`exclude` names {entry!r}, which is no weight, and no layer with weights. To match a part of a name, "
            f"write re.compile({entry!r}). Known: {', '.join(names)}"
        )
    return ours | keras_own
