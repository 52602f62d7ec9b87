"""The optimizers of a model while a level trains: how far they get, and which of them nobody can rewind."""

import weakref

from tf_lottery import keras_compat
from tf_lottery.keras_compat import Model


class LevelOptimizers:
    """The optimizers of a model, watched from the moment at which a level begins.

    Args:
        model: The model, as the level begins.
        is_first: Whether optimizers that are not the model's are watched, too. To find them takes time.
    """

    def __init__(self, model: Model, is_first: bool):
        self._model = model
        self._at_begin = keras_compat.owned_optimizers(model)
        self._count_at_begin = self._count()
        others = keras_compat.other_optimizers(self._at_begin.values()) if is_first else []
        self._unseen = [(weakref.ref(one), keras_compat.batches_trained(one)) for one in others]

    def step(self, otherwise: int) -> int:
        """Return the step that the compiled optimizer has reached, or `otherwise` if it was replaced or trains nothing.

        Steps that loss scaling skipped do not count.
        """
        is_compiled = self._model.optimizer is self._at_begin.get("")
        return count if is_compiled and (count := self._count()) != self._count_at_begin else otherwise

    def is_compiled_anew(self) -> bool:
        """Return whether the model has other optimizers now."""
        now = keras_compat.owned_optimizers(self._model)
        return any(now.get(path) is not optimizer for path, optimizer in self._at_begin.items())

    def warn_of_unseen(self) -> None:
        """Warn of optimizers that trained the model and are no attributes of it, such as one in a closure."""
        alive = [(one(), count) for one, count in self._unseen]
        trained = [
            f"{one.name} ({type(one).__name__})"
            for one, count in alive
            if one is not None
            and keras_compat.built_on(one, self._model.variables)
            and keras_compat.batches_trained(one) > count
        ]
        if trained:
            keras_compat.warn(
                f"{', '.join(trained)} trained weights of the model and cannot be rewound: make each optimizer an "
                "attribute of the model, such as `model.d_optimizer`, before `fit`."
            )

    def _count(self) -> int:
        """Return how many batches the compiled optimizer has seen."""
        optimizer = self._at_begin.get("")
        return 0 if optimizer is None else keras_compat.batches_trained(optimizer)
