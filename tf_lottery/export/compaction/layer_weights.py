"""The weights of a layer, by name."""

from typing import Any

import numpy as np

from tf_lottery import keras_compat


def weights(layer: Any) -> dict[str, Any]:
    """Return the variables of `layer` with its channels, by name: not the state that dropout draws from."""
    variables = keras_compat.own_variables(layer)
    named = zip(keras_compat.names_in(layer, variables), variables, strict=True)
    return {name: variable for name, variable in named if not keras_compat.is_random_state(variable)}


def array(layer: Any, name: str, default: float = 0.0) -> np.ndarray:
    """Return one of them, or `default` if the layer has none of this name."""
    variable = weights(layer).get(name)
    return np.asarray(default) if variable is None else np.asarray(variable.numpy())
