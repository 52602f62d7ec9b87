"""The README's order of steps for a model that someone else wrote, and what must hold after each step.

`travel` takes a `Stranger` through `make_prunable`, `fit` with a LotteryTicket, controls, saving, loading, export and
`strip_pruning`. It tries every step, also after one that failed, and raises all failures together. A step that Keras
itself cannot do with the plain model is left out; `abilities` tries that.
"""

import contextlib
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tiny  # sets the number of threads, so that bits repeat

import tf_lottery as tfl
from tf_lottery import keras_compat
from tf_lottery.errors import LotteryError, ModelError
from tf_lottery.keras_compat import LEGACY, keras
from tf_lottery.masking import model_masks, naming, state

LEVELS = 3  # level 1 prunes nothing, levels 2 and 3 prune 40% of the kept weights each


def fraction(level):
    return 0 if level == 1 else 0.4


def call(model, inputs):
    return model(inputs, training=False)


@dataclass(frozen=True)
class Stranger:
    """A model as someone else wrote it, and how it is trained.

    Attributes:
        build: Makes the plain model, built and not compiled.
        compile: Compiles it.
        fit: The arguments of `fit` that are data. They are not shuffled.
        inputs: What predictions are made for.
        predict: Takes a model and `inputs`, and returns all that its user wants to see unchanged.
        served: Takes the model and returns the part that its user exports. Defaults to the model.
        optimizers: Takes the compiled model and returns all optimizers that train it. Defaults to that of `compile`.
        exclude: What is not pruned.
        specs: `inputs` of the export. Defaults to what the model was built with.
        says: Regexes of warnings: in `make_prunable` and `fit`, each is given once, and no other warning.
        repeats: Whether training twice from the same state on the same data gives the same bits, as far as the library
            can see to it. False for those that draw random numbers from TensorFlow's global state.
        epochs_per_level, rewind_epoch: Of the LotteryTicket.
        settings: Further arguments of the LotteryTicket.
        ends_with_ticket: Whether the model has the weights of the last ticket after `fit`. Not with `use_ema`, where
            Keras writes averages over them.
        then: Takes the trained model and goes on with it, as its user would: compiles again, trains again.
    """

    build: Callable[[], Any]
    compile: Callable[[Any], None]
    fit: dict[str, Any]
    inputs: Any
    predict: Callable[[Any, Any], Any] = call
    served: Callable[[Any], Any] = lambda model: model
    optimizers: Callable[[Any], Sequence[Any]] = lambda model: [model.optimizer]
    exclude: Any = ()
    specs: Any = None
    says: Sequence[str] = ()
    repeats: bool = True
    epochs_per_level: int = 2
    rewind_epoch: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    ends_with_ticket: bool = True
    then: Callable[[Any], None] | None = None


class Abilities(NamedTuple):
    """What Keras can do with the plain model: save and load it, compile it again, load its weights, copy its layers."""

    reloads: bool
    recompiles: bool
    loads_weights: bool
    clones: bool


def travel(stranger, folder):
    """Take a model through all steps; raise an ExceptionGroup of all that did not hold."""
    journey = Journey(stranger, folder)
    journey.make_prunable_and_fit()
    for step in Journey.STEPS if hasattr(journey, "looking") else ():
        journey.take(step)
    journey.end()


class Looking(keras.callbacks.Callback):
    """Look at the model at each batch and epoch, after the LotteryTicket.

    Attributes:
        broken: The names of pruned weights that were not +0.0 at the end of a batch, with epoch and batch.
        batches: The number of batches of each epoch.
        begin, end: All variables by name, at the begin and the end of each epoch.
        steps: The steps of all optimizers, at the begin of each epoch and at the end of the last.
        masks: The masks at the begin of each epoch.
    """

    def __init__(self, optimizers, keeps=True):
        super().__init__()
        self.broken, self.batches, self.begin, self.end, self.steps, self.masks = [], [], [], [], [], []
        self.optimizers, self.keeps = optimizers, keeps

    def on_train_begin(self, logs=None):
        self.masked = model_masks.masked_variables(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.append(0)
        self.steps.append(steps_of(self.optimizers(self.model)))
        self.masks.append({name: mask.numpy().astype(bool) for name, (_, mask) in self.masked.items()})
        if self.keeps:
            self.begin.append(state.weights(self.model))

    def on_train_batch_end(self, batch, logs=None):
        self.batches[-1] += 1
        where = f"epoch {len(self.batches) - 1}, batch {batch}"
        self.broken += [f"{name} in {where}" for name in not_zero(self.masked)]

    def on_epoch_end(self, epoch, logs=None):
        if self.keeps:
            self.end.append(state.weights(self.model))

    def on_train_end(self, logs=None):
        self.steps.append(steps_of(self.optimizers(self.model)))


class Journey:
    STEPS = (
        "pruned_weights_are_zero_at_every_batch_end",
        "each_level_removes_the_exact_count",
        "levels_start_at_step_k",
        "nothing_pruned_ends_with_the_dense_bits",
        "the_last_level_is_restored",
        "random_mask_control",
        "reinit_control",
        "keras_file",
        "weights_file",
        "exported",
        "training_goes_on",
        "stripped",
    )

    def __init__(self, stranger, folder):
        self.stranger, self.folder, self.failures = stranger, folder, []
        keras.utils.set_random_seed(1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.can = abilities(stranger, folder)
        self.of_keras = {beginning(warning) for warning in caught}  # which it gives for the plain model, too

    def end(self):
        if self.failures:
            summary = "".join(f"\n- {error.__notes__[-1]}: {first_line(error)}" for error in self.failures)
            raise ExceptionGroup(f"what does not hold:{summary}\n", self.failures)

    def take(self, step):
        with self.collecting(step):
            getattr(self, step)()

    @contextlib.contextmanager
    def collecting(self, step, says=()):
        """Collect the failure of a step; a warning that neither `says` nor the plain model announces is one, too."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept a copy keyword")
            # Keras, of the trained file of a class that compiles itself (KerasHub's), plain or not.
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            try:
                yield
            except Exception as error:
                error.add_note(step)
                self.failures.append(error)
        ours = [warning for warning in caught if beginning(warning) not in self.of_keras]
        messages = [f"{type(warning.message).__name__}: {warning.message}" for warning in ours]
        known = says or self.stranger.says
        unknown = [text for text in messages if not any(re.search(pattern, text) for pattern in known)]
        missing = [pattern for pattern in says if sum(bool(re.search(pattern, text)) for text in messages) != 1]
        for complaint, texts in (("unexpected warnings", unknown), ("warnings not given once", missing)):
            if texts:
                failure = AssertionError(f"{complaint}: {texts}")
                failure.add_note(step)
                self.failures.append(failure)

    def make_prunable_and_fit(self):
        with self.collecting("make_prunable and fit", self.stranger.says):
            plain = self.stranger.build()
            before, paths = self.predictions(plain), paths_of(plain)
            self.model = self.prunable(plain)
            with self.collecting("what make_prunable keeps"):
                self.check_kept(plain, before, paths)
            self.fit()

    def check_kept(self, plain, before, paths):
        model = self.model
        check(type(model) is type(plain), f"{type(plain).__name__} has become a {type(model).__name__}")
        if not is_plain_graph(plain):
            check(model is plain, "a model with a class of its own is masked in place")
            check(paths <= paths_of(model), f"variables have lost their paths: {sorted(paths - paths_of(model))}")
        check(same(before, self.predictions(model)), "make_prunable has changed the predictions")
        check(same(before, self.predictions(plain)), "the plain model predicts otherwise")

    def fit(self):
        stranger, model = self.stranger, self.model
        stranger.compile(model)
        self.tickets = tickets = tfl.callbacks.LotteryTicket(
            LEVELS,
            fraction,
            epochs_per_level=stranger.epochs_per_level,
            rewind_to=f"{stranger.rewind_epoch}ep",
            **stranger.settings,
        )
        looking = Looking(stranger.optimizers)
        model.fit(**data_of(stranger), epochs=tickets.total_epochs, callbacks=[tickets, looking])
        check(len(tickets.records) == LEVELS + 1, f"finished levels: {len(tickets.records)}")
        check(not (broken := not_zero(model_masks.masked_variables(model))), f"not zero after fit: {broken}")
        self.looking = looking

    def pruned_weights_are_zero_at_every_batch_end(self):
        check(not self.looking.broken, f"not zero: {self.looking.broken}")
        pruned = [sum(int((~mask).sum()) for mask in masks.values()) for masks in self.looking.masks]
        check(pruned[-1] > 0, "nothing was pruned")

    def each_level_removes_the_exact_count(self):
        tickets, kept = self.tickets, None
        masks = {name: np.ones(mask.shape, bool) for name, mask in model_masks.get_masks(self.model).items()}
        for level in range(LEVELS + 1):
            before, masks = masks, tickets.ticket(level).masks
            total = sum(mask.size for mask in masks.values())
            expected = total if kept is None else kept - self.removed(before, fraction(level))
            kept = sum(int(mask.sum()) for mask in masks.values())
            check(kept == expected, f"level {level} keeps {kept}, expected {expected}")
            check(tickets.records[level]["density"] == kept / total, f"the density of level {level}")
            check(all((mask <= before[name]).all() for name, mask in masks.items()), f"level {level} is not nested")
            check(same_arrays(masks, self.looking.masks[self.first(level)]), f"the model's masks in level {level}")

    def removed(self, masks, share):
        counts = [int(mask.sum()) for mask in masks.values()]
        if self.stranger.settings.get("scope") == "layerwise":
            return sum(round(share * count) for count in counts)
        return round(share * sum(counts))

    def levels_start_at_step_k(self):
        looking, k = self.looking, self.stranger.rewind_epoch
        at_k, steps = looking.begin[k], looking.steps[k]
        check(k == 0 or all(steps), f"steps at k: {steps}")
        for level in range(LEVELS + 1):
            first = k if level == 0 else self.first(level)
            masks, stored = self.tickets.ticket(level).masks, self.tickets.ticket(level).weights
            expected = masked(at_k, masks)
            check(same_arrays(expected, looking.begin[first]), f"level {level} starts with other weights than W_k")
            check(same_arrays(expected, stored["rewind"]), f"the ticket of level {level} has other weights than W_k")
            check(looking.steps[first] == steps, f"level {level} starts at the steps {looking.steps[first]}")
            trained = looking.end[self.first(level + 1) - 1]
            check(any(not same([trained[name]], [expected[name]]) for name in masks), f"level {level} has not trained")

    def nothing_pruned_ends_with_the_dense_bits(self):
        if self.stranger.repeats:
            dense, again = (self.looking.end[self.first(level) - 1] for level in (1, 2))
            check(same_arrays(dense, again), "level 1 pruned nothing, and ends with other weights than level 0")
            metrics = [self.tickets.records[level]["metrics"] for level in (0, 1)]
            check(metrics[0] == metrics[1], f"level 1 pruned nothing, and has other metrics than level 0: {metrics}")

    def the_last_level_is_restored(self):
        before = self.predictions(self.model)
        restored = self.tickets.restore(self.model, LEVELS)
        check(restored is self.model, "restore returns another model")
        is_same = same(before, self.predictions(restored))
        check(is_same == self.stranger.ends_with_ticket, f"the last ticket predicts as the model: {is_same}")

    def random_mask_control(self):
        control, masks = self.control("random_mask"), self.tickets.ticket(LEVELS).masks
        random = model_masks.get_masks(control)
        counts = [{name: int(mask.sum()) for name, mask in each.items()} for each in (masks, random)]
        check(counts[0] == counts[1], f"kept weights of ticket and random mask: {counts}")
        check(not same_arrays(masks, random), "the random mask is that of the ticket")
        at_k = self.looking.begin[self.stranger.rewind_epoch]
        check(same_arrays(masked(at_k, random), state.weights(control)), "it starts with other weights than W_k")
        self.train(control, at=self.looking.steps[self.stranger.rewind_epoch])

    def reinit_control(self):
        control, masks = self.control("reinit"), self.tickets.ticket(LEVELS).masks
        check(same_arrays(masks, model_masks.get_masks(control)), "it has other masks than the ticket")
        check(not not_zero(model_masks.masked_variables(control)), "pruned weights are not zero")
        start, k, frozen = state.weights(control), self.stranger.rewind_epoch, set(naming.frozen_variables(control))
        for old in (self.looking.begin[0], self.looking.begin[k]):
            kept = {name for name, mask in masks.items() if np.array_equal(start[name][mask], old[name][mask])}
            check(kept == frozen & set(masks), f"kept: {kept}, frozen: {frozen}")
        built = [optimizer for optimizer in self.stranger.optimizers(control) if optimizer is not None]
        check(built and not any(steps_of(built)), "its optimizers do not start at step 0")

    def control(self, kind):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The optimizer of this control averages weights")
            return self._control(kind)

    def _control(self, kind):
        try:
            control = self.tickets.control(kind, LEVELS)
        except LotteryError as error:
            if self.can.reloads and self.can.recompiles:
                raise
            with self.collecting(f"{kind}_control: the way out"):
                check("model=" in str(error), f"`model=` is not named: {error}")
            new = self.prunable(self.stranger.build())
            self.stranger.compile(new)
            control = self.tickets.control(kind, LEVELS, model=new)
        check(type(control) is type(self.model), f"a control of {type(self.model).__name__}: {type(control).__name__}")
        check(control is not self.model, "the control is the model itself")
        return control

    def keras_file(self):
        if not self.can.reloads:
            return
        path = self.folder / "masked.keras"
        self.model.save(path)
        loaded = tfl.load_model(path)
        self.check_equal(loaded)
        if self.can.recompiles:
            self.train(loaded)

    def weights_file(self):
        if not self.can.loads_weights:
            return
        path = self.folder / "masked.weights.h5"
        self.model.save_weights(path)
        new = self.prunable(self.stranger.build())
        new.load_weights(path)
        self.check_equal(new)

    def exported(self):
        served, inputs = self.stranger.served(self.model), as_tensors(self.stranger.inputs)
        tfl.export.saved_model(served, self.folder / "saved_model", inputs=self.stranger.specs)
        loaded = tf.saved_model.load(self.folder / "saved_model")
        # Shapes that are known decide how TensorFlow computes, and so the last bits: the first one is free here, too.
        specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype), inputs)
        expected = tf.function(lambda given: served(given, training=False), [specs], autograph=False)(inputs)
        check(same(arrays(expected), arrays(loaded.serve(inputs))), "the SavedModel predicts otherwise than the model")

    def training_goes_on(self):
        if self.stranger.then is not None:
            masks = model_masks.get_masks(self.model)
            self.stranger.then(self.model)
            check(same_arrays(masks, model_masks.get_masks(self.model)), "the masks have changed")
            check(not (broken := not_zero(model_masks.masked_variables(self.model))), f"not zero: {broken}")

    def stripped(self):
        stranger, folder = self.stranger, self.folder
        before, model = self.predictions(self.model), self.model
        stripped = tfl.strip_pruning(model)
        check(type(stripped) is type(model), f"stripped, {type(model).__name__} is a {type(stripped).__name__}")
        ours = [layer.name for layer in keras_compat.all_layers(stripped) if "tf_lottery" in type(layer).__module__]
        check(not ours, f"layers of tf_lottery are left: {ours}")
        check(same(before, self.predictions(stripped)), "the stripped model predicts otherwise")
        with contextlib.suppress(ModelError):
            check(not model_masks.get_masks(stripped), "the stripped model has masks")
        if self.can.reloads:
            stripped.save(folder / "stripped.keras")
            loaded = keras.models.load_model(folder / "stripped.keras")
            check(same(before, self.predictions(loaded)), "Keras loads a model that predicts otherwise")
        if self.can.loads_weights:
            stripped.save_weights(folder / "stripped.weights.h5")
            plain = stranger.build()
            plain.load_weights(folder / "stripped.weights.h5")
            check(same(before, self.predictions(plain)), "a plain model with its weights predicts otherwise")

    def first(self, level):
        """Return the first epoch of a level."""
        length, k = self.stranger.epochs_per_level, self.stranger.rewind_epoch
        return length + (level - 1) * (length - k) if level else 0

    def prunable(self, plain):
        """Return `plain` with masks; in place where Keras cannot copy its layers, and the error says so."""
        try:
            return tfl.make_prunable(plain, exclude=self.stranger.exclude)
        except ModelError as error:
            if self.can.clones or "in_place=True" not in str(error):
                raise
        return tfl.make_prunable(plain, exclude=self.stranger.exclude, in_place=True)

    def predictions(self, model):
        return arrays(self.stranger.predict(model, self.stranger.inputs))

    def check_equal(self, loaded):
        check(type(loaded) is type(self.model), f"loaded, {type(self.model).__name__} is a {type(loaded).__name__}")
        masks = [model_masks.get_masks(model) for model in (self.model, loaded)]
        check(same_arrays(*masks), "other masks are loaded")
        check(same(self.predictions(self.model), self.predictions(loaded)), "what is loaded predicts otherwise")

    def train(self, model, at=None):
        """Train one epoch and look at the pruned weights."""
        looking = Looking(self.stranger.optimizers, keeps=False)
        model.fit(**data_of(self.stranger), epochs=1, callbacks=[looking])
        check(not looking.broken, f"not zero: {looking.broken}")
        check(at is None or looking.steps[0] == at, f"training begins at the steps {looking.steps[0]}")


def beginning(warning):
    """Return the first words of a warning, without the numbers of automatic names."""
    return re.sub(r"\d+", "#", str(warning.message))[:60]


def abilities(stranger, folder):
    """Try what Keras can do with the plain model."""
    plain = stranger.build()
    stranger.compile(plain)
    expected = arrays(stranger.predict(plain, stranger.inputs))
    reloads = recompiles = loads_weights = clones = False
    with contextlib.suppress(Exception):
        plain.save(folder / "plain.keras")
        loaded = keras.models.load_model(folder / "plain.keras")
        reloads = same(expected, arrays(stranger.predict(loaded, stranger.inputs)))
        recompiles = reloads and bool(getattr(loaded, "compiled", loaded.optimizer is not None))
    with contextlib.suppress(Exception):
        plain.save_weights(folder / "plain.weights.h5")
        new = stranger.build()
        new.load_weights(folder / "plain.weights.h5")
        loads_weights = same(expected, arrays(stranger.predict(new, stranger.inputs)))
    if is_plain_graph(plain):
        with contextlib.suppress(Exception):
            clones = bool(keras.models.clone_model(plain))
    return Abilities(reloads, recompiles, loads_weights, clones)


def data_of(stranger):
    return {"shuffle": False, "verbose": 0} | stranger.fit


def is_plain_graph(model):
    """Return whether a model is Sequential or functional, of Keras' own class."""
    return type(model) in (keras.Sequential, type(tiny.convolutional()) if LEGACY else FUNCTIONAL)


FUNCTIONAL = type(tiny.convolutional())


def paths_of(model):
    """Return the paths of all variables, which legacy Keras calls names."""
    named = [variable for variable in model.variables if hasattr(variable, "name")]  # legacy lookup tables have none
    return {getattr(variable, "path", variable.name) for variable in named}


def steps_of(optimizers):
    """Return the number of steps of each optimizer; None for one that does not count yet."""
    return [int(optimizer.iterations.numpy()) for optimizer in optimizers]


def masked(weights, masks):
    """Return the weights with +0.0 wherever a mask prunes."""
    zeros = {name: np.where(mask, weights[name], np.zeros((), weights[name].dtype)) for name, mask in masks.items()}
    return weights | zeros


def not_zero(masked_variables):
    """Return the names of weights that have a bit other than +0.0 at a pruned position."""
    pruned = {name: weight.numpy()[~mask.numpy().astype(bool)] for name, (weight, mask) in masked_variables.items()}
    return [name for name, entries in pruned.items() if entries.view(np.uint8).any()]


def arrays(outputs):
    """Return the arrays of any structure, in order."""
    return [np.asarray(output) for output in tf.nest.flatten(outputs)]


def as_tensors(inputs):
    return tf.nest.map_structure(tf.convert_to_tensor, inputs)


def same(first, second):
    """Return whether two lists of arrays have the same shapes and bits."""
    return [(a.shape, a.dtype, a.tobytes()) for a in first] == [(b.shape, b.dtype, b.tobytes()) for b in second]


def same_arrays(first, second):
    """Return whether two dicts of arrays have the same names and bits."""
    return set(first) == set(second) and same([first[name] for name in first], [second[name] for name in first])


def first_line(error):
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def check(holds, message):
    assert holds, message
