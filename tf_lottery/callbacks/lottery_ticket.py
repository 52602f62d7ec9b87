"""LotteryTicket: iterative magnitude pruning with rewinding inside `model.fit`."""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tf_lottery.callbacks import comparisons, other_callbacks
from tf_lottery.callbacks.level_store import LevelStore
from tf_lottery.callbacks.pruned_levels import PrunedLevels
from tf_lottery.callbacks.settings import Settings
from tf_lottery.core import schedules
from tf_lottery.core.criteria import Criterion
from tf_lottery.core.pruning import Share
from tf_lottery.errors import ConfigError
from tf_lottery.keras_compat import Callback, Model
from tf_lottery.masking import model_tickets
from tf_lottery.masking.ticket import Ticket


class LotteryTicket(PrunedLevels):
    """Find lottery tickets in one `fit`: train, prune, rewind and train again, level by level.

    Level 0 trains the dense network for `epochs_per_level` epochs and stores its full state at step k. At the end of a
    level the smallest weights are pruned. The next level rewinds the remaining weights, and everything else that
    training changes, to their values at step k, and trains to the step at which level 0 ended (Frankle et al. 2019,
    arXiv 1903.01611, Algorithm 1).

    A callback cannot rewind your data, neither the position in it nor the order in which `fit` shuffles it. Every level
    therefore begins with a new pass over the data. (With legacy Keras and arrays, it continues in the middle of a pass
    if k is inside an epoch.) All optimizers that the model or a layer inside it holds as attributes are rewound; one
    that only a closure holds is named in a warning. All variables are rewound that the model, its loss or their code
    use, wherever they are kept; Python numbers are not, nor are random numbers from a global state of TensorFlow.

    If the optimizer averages weights (`use_ema`), tickets hold the weights that `fit` validates: the averages with
    `SwapEMAWeights`, in `fit` or in `callbacks`, and otherwise the weights themselves, although Keras writes the
    averages into the model when `fit` ends. An EarlyStopping that restores weights restores those that it has seen:
    put it after `SwapEMAWeights(swap_on_epoch=True)`.

    Args:
        levels: Number of pruned levels. `fit` trains levels 0 (the dense network) to `levels`.
        fraction: Fraction of the kept weights that each level removes, in [0, 1); or a function of the level, such as
            `tfl.schedules.to_target_density(0.05, levels=10)` or `tfl.schedules.one_shot(0.05)`. Defaults to 0.2.
        epochs_per_level: Number of epochs of level 0. Later levels begin in the epoch that contains step k.
        rates: Different fractions for some weights, by a regex that is searched in the weight name:
            `{"^output/": 0.1}`. Needs `scope="layerwise"`. Defaults to none.
        scope: `"global"` ranks all weights together, `"layerwise"` each array by itself. Defaults to `"global"`.
        criterion: The name of a criterion in `tfl.criteria.CRITERIA`, or a function `(initial, trained, rng) -> scores`
            that takes and returns dicts of arrays by weight name. Weights with the highest scores are kept. Defaults to
            `"magnitude"`.
        rewind: `"weights"`: everything goes back to step k, as in the paper. `"learning_rate"`: the weights stay, the
            step counter and the learning rate go back to step k, and the optimizer is new. `"none"`: fine-tuning;
            everything stays, the learning rate is held, and the epoch numbers continue. With all three, a level trains
            for the same number of steps. Defaults to `"weights"`.
        rewind_to: Step k: `"500it"` (optimizer steps), `"2ep"` (epochs), or a number of steps. Defaults to 0.
        reset_optimizer: Whether levels start with a new optimizer instead of its state at step k. Defaults to False.
        min_density: Fraction of each array that global pruning always keeps, in [0, 1); other arrays lose more, so that
            a level removes as many weights as without a minimum. With 0 there is no minimum, and `fit` ends before a
            level that would remove all weights of an array. Defaults to None: one weight of each array is kept, and a
            warning names the arrays of which no more is left.
        callbacks: Keras callbacks that see each level as a separate training run, and can end it. One that calls
            `compile`, such as to unfreeze layers, belongs here: the optimizer and the frozen layers of step k come
            back at each level. (Keras wants it to call `model.make_train_function(force=True)` after `compile`.) What
            callbacks count themselves begins anew at step k. Callbacks that are
            passed to `fit` see all levels as one run; pass callbacks that write files there. Defaults to none.
        directory: The directory in which everything is stored, in files such as `level_02.tfl`, which
            `tfl.load_ticket` reads. To resume after the last finished level, run the same script again, with the same
            data and learning rate. With several workers, each needs its own directory. Defaults to None: everything
            stays in memory.
        seed: Seed of criteria and controls that draw random numbers. Defaults to 0.

    Raises:
        LotteryError: an argument is invalid or, when `fit` begins, does not suit the model or the other callbacks.

    Source:
        Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), Algorithm 1; with `rewind_to=0` Frankle, Carbin 2019
        (arXiv 1803.03635), section 1. `rewind="learning_rate"` and `"none"`: Renda, Frankle, Carbin 2020 (arXiv
        2003.02389).

    Examples:
        >>> import numpy as np
        >>> import tf_lottery as tfl
        >>> x, y = np.random.rand(64, 8, 8, 1), np.random.rand(64, 10)
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))  # or any model of yours
        >>> model.compile("adam", "mse")
        >>> tickets = tfl.callbacks.LotteryTicket(levels=2, fraction=0.5, rewind_to="1ep", epochs_per_level=2)
        >>> history = model.fit(x, y, epochs=tickets.total_epochs, callbacks=[tickets], verbose=0)
        >>> tickets.to_frame()[["level", "density", "epochs"]]
           level  density  epochs
        0      0     1.00       2
        1      1     0.50       1
        2      2     0.25       1
        >>> sparse = tickets.restore(model, level=2)
    """

    def __init__(
        self,
        levels: int,
        fraction: Share | schedules.Schedule = 0.2,
        *,
        epochs_per_level: int,
        rates: Mapping[str | re.Pattern[str], Share] | Sequence[str] = (),
        scope: str = "global",
        criterion: str | Criterion = "magnitude",
        rewind: str = "weights",
        rewind_to: int | str = 0,
        reset_optimizer: bool = False,
        min_density: Share | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        directory: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ):
        levels, epochs_per_level, rewind_to, seed = map(_plain, (levels, epochs_per_level, rewind_to, seed))
        settings = Settings(
            levels=levels,
            fraction=fraction,
            epochs_per_level=epochs_per_level,
            rates=rates,
            scope=scope,
            criterion=criterion,
            rewind=rewind,
            rewind_to=rewind_to,
            reset_optimizer=reset_optimizer,
            min_density=min_density,
            seed=seed,
        )
        super().__init__(settings, other_callbacks.as_list(callbacks), directory)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return copies of the records of all finished levels, one dict for each level.

        The keys are `level`, `density`, `density_by_weight`, `epochs` (the number of epochs trained), `step` (the
        optimizer step, not counting steps that loss scaling skipped; the number of batches if the compiled optimizer
        does not train, or was replaced) and `metrics` (the logs of the epoch whose weights
        the ticket holds).
        """
        return copy.deepcopy(self._store.records)

    @property
    def total_epochs(self) -> int:
        """Return the largest number of epochs that `fit` can need; it ends by itself after the last level."""
        return (self.settings.levels + 1) * self.epochs_per_level

    def to_frame(self) -> pd.DataFrame:
        """Return `records` as a table: level, density, epochs, step, and a column for each metric."""
        columns = ("level", "density", "epochs", "step")
        rows = [record["metrics"] | {name: record[name] for name in columns} for record in self.records]
        metrics = dict.fromkeys(name for row in rows for name in row if name not in columns)
        return pd.DataFrame(rows, columns=[*columns, *metrics])

    def ticket(self, level: int) -> Ticket:
        """Return the ticket of a finished level: its masks, its `"rewind"` weights and its `"final"` weights.

        The level started with the weights `"rewind"` and ended with the weights `"final"`. The `"rewind"` weights of
        level 0 are W_k, the weights of the dense network at step k.

        Args:
            level: The number of the level; 0 is the dense network.

        Raises:
            ConfigError: no level is finished yet.
            TicketError: there is no such level.
        """
        return self._store_with_levels().ticket(level)

    def restore(self, model: Model, level: int, weights: str = "final") -> Model:
        """Give `model` the masks and weights of a finished level; see `tfl.restore_ticket`.

        Args:
            model: The model of `fit`, or another prunable model of the same architecture.
            level: A finished level.
            weights: `"final"` for the weights that the level ended with, `"rewind"` for the weights that it started
                with. Defaults to `"final"`.

        Returns:
            `model`.
        """
        return model_tickets.restore_ticket(model, self.ticket(level), weights)

    def best(self, within: float = 0.0, monitor: str | None = None, mode: str | None = None) -> int:
        """Return the sparsest level that performs as well as the dense network.

        Args:
            within: How much worse than level 0 the level may be, at least 0, in the unit of the metric: 0.01 is one
                percentage point of accuracy. Defaults to 0.
            monitor: Name of the metric. Defaults to the first of `val_accuracy`, other `val_…accuracy`, `val_loss`,
                `accuracy`, `loss` that was measured.
            mode: `"max"` or `"min"`. Defaults to the better direction of Keras' losses and metrics; needed for others.

        Returns:
            The number of the level; 0 if no ticket performs as well.

        Raises:
            ConfigError: there is no such metric, its better direction is unknown, or `within` is invalid.
        """
        self._store_with_levels()
        return comparisons.best_level(self.records, within, monitor, mode)

    def control(self, kind: str, level: int, model: Model | None = None) -> Model:
        """Return a compiled model, ready to train as a control for a level: a baseline that its ticket has to beat.

        Train it with `fit` for as many epochs as the level, or as level 0 if the control starts at step 0.

        Args:
            kind: `"random_mask"`: random masks that keep as many weights of each layer as the ticket, on the dense
                weights of step k. `"reinit"`: the ticket's masks on newly initialised weights, from step 0.
                `"reinit_signs"`: the same, with the signs of step k. `"reshuffle"` and `"constant"`: the ticket's masks
                on altered weights of step k, with the kept weights of each layer in random order, or with all weights
                of a layer set to one magnitude and random signs. `"reshuffle_signs"` and `"constant_signs"`: the same,
                with the signs of step k.
            level: A finished level.
            model: A prunable, compiled, newly initialised model to use. Needed if the model of `fit` cannot be
                recreated from its config. Defaults to None: a new model is created.

        Returns:
            A new compiled model, or `model`.

        Raises:
            ConfigError: there is no such control, or `fit` has not been called in this process yet.
            ModelError: the model cannot be recreated from its config, or is always initialised with the same weights.

        Source:
            Frankle, Dziugaite, Roy, Carbin 2019 (arXiv 1903.01611), section 3; Frankle, Carbin 2019 (arXiv 1803.03635),
            section 2; Zhou, Lan, Liu, Yosinski 2019 (arXiv 1905.01067), section 4.
        """
        store = self._store_with_levels()
        if self.model is None and model is None:
            raise ConfigError(
                "`fit` has not been called in this process yet: pass a new prunable model, `control(…, model=…)`."
            )
        dense = store.ticket(0).masks
        return comparisons.control_model(
            kind,
            level,
            like=self.model,
            compiled={"start": self._at_start, "rewind": self._at_k} if model is None else {},
            masks=store.ticket(level).masks,
            at_k=store.read("rewind"),
            transition=self.settings.transition(dense),
            seed=self.settings.seed,
            new=model,
        )

    def _store_with_levels(self) -> LevelStore:
        if not self.records:
            raise ConfigError("No level is finished yet: call `model.fit(…, callbacks=[tickets])` first.")
        return self._store


def _plain(number: Any) -> Any:
    """Convert a NumPy integer to a Python int; return anything else unchanged."""
    return int(number) if isinstance(number, np.integer) else number
