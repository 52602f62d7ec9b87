"""Which weights of a layer are prunable, and the layers that own their masks: `Prunable` and `MaskHolder`."""

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ModelError
from tf_lottery.keras_compat import Layer, Model, Variable, keras
from tf_lottery.masking import naming, stale_masks, weight_table
from tf_lottery.masking.constraint import MaskOwner, owns_masks, read_masks

REGISTERED: dict[type, tuple[str, ...]] = {}  # by `register_prunable`; goes before the table


def register_prunable(layer_class: type, *weights: str) -> None:
    """Declare which weights of a layer class can be pruned; its other weights never are.

    You need not register layers of Keras and KerasHub, subclasses of prunable layers, layers made of prunable layers,
    and layers that have the method `get_prunable_weights` of tfmot. A class that you register is decided by you alone,
    also if it is one of Keras.

    Args:
        layer_class: The class. Its subclasses inherit the entry.
        *weights: Names of the attributes that hold the weights to prune. Without any, these layers are never pruned.

    Raises:
        ModelError: `layer_class` is not a Keras layer class, or a name is not the name of an attribute.

    Examples:
        >>> import tf_lottery as tfl
        >>> class Scale(keras.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.factors = self.add_weight(name="factors", shape=(input_shape[-1],))
        ...
        ...     def call(self, inputs):
        ...         return inputs * self.factors
        >>> tfl.register_prunable(Scale, "factors")
        >>> model = tfl.make_prunable(keras.Sequential([keras.Input((4,)), Scale()]))
        >>> list(tfl.get_masks(model))
        ['scale/factors']
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.layers.Layer)):
        raise ModelError(f"Only subclasses of keras.layers.Layer can be registered. Received: {layer_class!r}")
    for name in weights:
        if not isinstance(name, str) or not name.isidentifier():
            raise ModelError(
                "Weights are registered by the names of the attributes that hold them, one by one: "
                f'register_prunable({layer_class.__name__}, "kernel"). Received: {name!r}'
            )
    REGISTERED[layer_class] = weights


def prunable_weights(layer: Layer) -> dict[str, Variable]:
    """Return the prunable variables of `layer` and of all layers inside it, by weight name.

    Raises:
        ModelError: a layer does not have a weight that its class declares prunable.
    """
    chosen: set[int] = set()
    for path, part in {"": layer, **naming.named_layers(layer)}.items():
        own = {id(variable) for variable in keras_compat.own_variables(part)}
        for name, weight in _declared(part):
            if id(weight) not in own:
                is_lora = getattr(part, "lora_enabled", False)
                raise ModelError(
                    f"Layer {path or layer.name!r} ({type(part).__name__}) has no weight {name!r} to prune. "
                    + ("LoRA hides it: merge it first." if is_lora else _advice(part))
                )
            chosen.add(id(weight))
    return {name: variable for name, variable in naming.named_variables(layer).items() if id(variable) in chosen}


def refuse_quantized(model: Layer) -> None:
    """Raise ModelError if layers of `model` are quantised: their weights are integers, and not trained."""
    layers = {"": model, **naming.named_layers(model)}
    modes = {path: getattr(layer, "quantization_mode", None) for path, layer in layers.items()}
    if found := [f"{path or model.name!r} ({mode})" for path, mode in modes.items() if mode]:
        raise ModelError(
            f"The model has quantised layers, whose weights cannot be pruned: {', '.join(found)}. First call "
            "`make_prunable`, train and prune; then quantise the model that `strip_pruning` returns."
        )


def undecided_weights(model: Layer) -> dict[str, tuple[Layer, Variable]]:
    """Return the trainable matrices of `model` of which nobody has decided whether they can be pruned, by weight name.

    Those of frozen layers are among them, because frozen layers are pruned like others and may be trained later. They
    have at least two dimensions larger than 1. Neither does their layer declare its prunable weights, nor has anyone
    registered its class, nor are they in the table of weights.

    Returns:
        The layer that owns the weight, and the weight.
    """
    owners: dict[int, Layer] = {}
    for part in [model, *naming.named_layers(model).values()]:
        decided = _decided(part)
        if decided is None:
            continue
        trainable = {id(weight) for weight in keras_compat.own_trainable(part)}
        for weight in keras_compat.own_variables(part):
            if id(weight) in trainable and id(weight) not in decided and _is_matrix(weight):
                owners[id(weight)] = part
    named = naming.named_variables(model).items()
    return {name: (owners[id(weight)], weight) for name, weight in named if id(weight) in owners}


def _is_matrix(weight: Variable) -> bool:
    return sum(length not in (0, 1) for length in weight.shape) > 1  # a length may be unknown


def _declared(layer: Layer) -> list[tuple[str, Variable | None]]:
    """Return the names and weights that the layer itself, or its class, declares prunable."""
    if callable(own_choice := getattr(layer, "get_prunable_weights", None)):  # tfmot's PrunableLayer protocol
        return [(keras_compat.own_name(weight), weight) for weight in own_choice()]
    if not layer.built:
        return []
    for base in type(layer).__mro__:
        if base in REGISTERED:
            return [(name, getattr(layer, name, None)) for name in REGISTERED[base]]
        if names := weight_table.entry(weight_table.PRUNABLE, base):
            return [(name, getattr(layer, name)) for name in names if getattr(layer, name, None) is not None]
    return []


def _decided(layer: Layer) -> set[int] | None:
    """Return the ids of the weights of `layer` on which a decision exists; None if its class has decided on all."""
    classes = type(layer).__mro__
    if hasattr(layer, "get_prunable_weights") or any(base in REGISTERED for base in classes):
        return None
    never = [name for base in classes for name in weight_table.entry(weight_table.NEVER, base)]
    return {id(weight) for _, weight in _declared(layer)} | {id(getattr(layer, name, None)) for name in never}


def _advice(layer: Layer) -> str:
    name = type(layer).__name__
    return f'Name the attributes that hold its prunable weights, if any: `tfl.register_prunable({name}, "…")`.'


def _check_arguments(layer: Any, only: Any) -> None:
    """Raise ModelError for arguments of `Prunable` that no layer could be wrapped with."""
    if not isinstance(layer, keras.layers.Layer):
        raise ModelError(
            f"`layer` must be a layer of {keras.__name__} {keras.__version__} ({keras_compat.reason()}), such as "
            f"keras.layers.Dense(10). Received: {layer!r}"
        )
    if owns_masks(layer):
        raise ModelError(f"Layer {layer.name!r} ({type(layer).__name__}) has masks already: use it as it is.")
    is_list = isinstance(only, Collection) and not isinstance(only, str)
    if only is not None and not (is_list and all(isinstance(name, str) for name in only)):
        raise ModelError(f'`only` must be a list of weight names, such as ["kernel"], or None. Received: only={only!r}')


@keras.saving.register_keras_serializable(package="tf_lottery")
class Prunable(MaskOwner, keras.layers.Wrapper):
    """A wrapper that owns the masks of the prunable weights of a layer and of all layers inside it.

    The masks are non-trainable boolean weights (True = kept), so they are saved in `.keras` and `.weights.h5` files.
    After every optimizer step the pruned weights are set to +0.0, with no callback attached. Inference costs nothing
    extra. Calls, shapes and Keras masks pass through unchanged.

    Args:
        layer: A layer that is prunable or made of prunable layers. To prune an RNN cell, wrap its RNN layer.
        only: Names of the weights to prune, as paths inside `layer` (`"kernel"`, `"query/kernel"`). Defaults to None,
            all.
        **kwargs: Arguments of `keras.layers.Layer`. `name` and `dtype` default to those of `layer`.

    Attributes:
        layer: The wrapped layer.

    Raises:
        ModelError: `layer` is no layer of this Keras, is an RNN cell, or has masks already; `only` is no list of names;
            or, when it is called, the layer has nothing to prune, or lacks a weight that `only` names.

    Examples:
        >>> import tf_lottery as tfl
        >>> model = keras.Sequential([keras.Input((4,)), tfl.Prunable(keras.layers.Dense(10)), keras.layers.Dense(2)])
        >>> {name: mask.shape for name, mask in tfl.get_masks(model).items()}
        {'dense/kernel': (4, 10)}
    """

    def __init__(self, layer: Layer, only: Sequence[str] | None = None, **kwargs: Any):
        _check_arguments(layer, only)
        if hasattr(layer, "state_size") and not hasattr(layer, "cell"):
            raise ModelError(f"{type(layer).__name__} is an RNN cell: wrap its RNN layer, Prunable(RNN(cell)).")
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        # Keras decides by this signature whether to pass masks and `training`, and which shapes `build` gets.
        self.call = keras_compat.with_signature_of(layer.call, self.call)  # type: ignore[method-assign]
        super().__init__(layer, **kwargs)
        self.supports_masking = layer.supports_masking
        self.only = None if only is None else tuple(only)
        self._was_called = False

    @keras_compat.built_by_a_call
    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        self._own_masks()
        self.built = True

    def call(self, *args: Any, **kwargs: Any) -> Any:
        outputs = self.layer(*args, **kwargs)
        self._complete_masks()
        return outputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        spec = self.layer.compute_output_spec(*args, **kwargs)
        if self.built:
            self._complete_masks()
        return spec

    def refresh(self) -> None:
        if stale_masks.refresh(self, self.layer):
            self._own_masks()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "only": None if self.only is None else list(self.only)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> "Prunable":
        return cls(**{**config, "layer": keras_compat.layer_from_config(config["layer"], custom_objects)})

    @tf.autograph.experimental.do_not_convert
    def _complete_masks(self) -> None:
        """Own the masks of all weights, after the first call: only a call builds the layers inside some layers."""
        if self._was_called:
            return
        with tf.init_scope():
            self._own_masks()
        self._check_masks()
        self._was_called = True

    def _own_masks(self) -> None:
        for name, weight in prunable_weights(self.layer).items():
            if self.only is None or name in self.only:
                self.own_mask(name, weight)

    def _check_masks(self) -> None:
        weights = list(prunable_weights(self.layer))
        if not weights or (self.only is not None and (not self.only or set(self.only) - set(weights))):
            raise ModelError(
                f"Layer {self.layer.name!r} ({type(self.layer).__name__}) has the prunable weights {weights}. "
                f"Received: only={self.only}"
            )


@keras.saving.register_keras_serializable(package="tf_lottery")
class MaskHolder(MaskOwner, keras.layers.Layer):
    """A layer that owns the masks of a model whose own layers are not wrapped. It is never called.

    Args:
        saved: Names of the weights whose masks it owned when a SavedModel of legacy Keras was written: `tfl.load_model`
            needs them. Defaults to `()`.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, saved: Sequence[str] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.saved = tuple(saved)
        self._model: Callable[[], Any] = lambda: None  # in a model that Keras has loaded
        self._is_checked = False
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "saved": list(self.names or self.saved)}

    def belong_to(self, model: Model) -> None:
        """Set the model whose masks this layer owns."""
        self._model = weakref.ref(model)  # a plain reference would make the model a layer of its own layer

    def hold(self, names: Collection[str]) -> None:
        """Add masks of ones for weights of the model.

        Raises:
            ModelError: the model has no weight of such a name.
        """
        weights = naming.named_variables(self._model())
        if unknown := [name for name in names if name not in weights]:
            raise ModelError(f"The model has no weights {', '.join(unknown)}. Known: {', '.join(weights)}")
        for name, weight in weights.items():
            if name in names:
                self.own_mask(name, weight)

    def refresh(self) -> None:
        if (model := self._model()) is not None:
            stale_masks.refresh(self, model)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        masks = read_masks(store)
        if not masks:
            return  # The file of a plain model: its weights are loaded, and the masks stay.
        if not self.names:  # `load_model` learns from the file which weights have masks.
            self.hold(masks)
        super().load_own_variables(store)

    def save_assets(self, folder: str) -> None:
        """Warn, when Keras first writes a `.keras` file, if the model in it could not be loaded. Nothing is written."""
        model = self._model()
        if self._is_checked or model is None:
            return
        self._is_checked = True
        try:
            type(model).from_config(model.get_config())
        except Exception as error:
            keras_compat.warn(
                f"{type(model).__name__} cannot be recreated from its config, so `tfl.load_model` cannot read its "
                "`.keras` file; `load_weights` of a prunable model that you have made yourself can. Implement "
                "`get_config` in the class, and `from_config` if the constructor takes other arguments. "
                f"{type(error).__name__}: {error}"
            )
