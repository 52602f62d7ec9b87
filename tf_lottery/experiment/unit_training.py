"""The training run of one unit, from its start point to its results in the run directory."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_lottery import rewinding
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.masks import Arrays
from tf_lottery.core.start_points import DENSE, StartPoint
from tf_lottery.errors import PruningError
from tf_lottery.experiment import plan
from tf_lottery.experiment.checkpoints import Checkpointer, Hooks
from tf_lottery.experiment.setups import Setup, Setups
from tf_lottery.experiment.storage import Run, Unit
from tf_lottery.masking import state
from tf_lottery.masking.state import State
from tf_lottery.masking.ticket import Ticket
from tf_lottery.training.progress import Progress
from tf_lottery.training.trainer import Trainer


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run.

    Attributes:
        weights: All variables at step T, by name.
        optimizer: The state of the optimizer at step T.
        at_k: The states of a dense network at the rewind steps, `{"weights": …, "optimizer": …}`, by step. Empty for
            all other units.
        progress: The history and other measurements.
        metrics: The metrics to store; `Run.metrics` returns them.
        seconds: How long training took, in seconds.
    """

    weights: Arrays
    optimizer: Arrays
    at_k: Mapping[int, State]
    progress: Progress
    metrics: Mapping[str, Any]
    seconds: float


class UnitTraining:
    """The training run of one unit: its network, data and seeds, and its access to the run directory.

    It reads the results of other units from the run directory, so that any process can train it.

    Args:
        run: The run directory.
        setups: The setups of the experiment.
        unit: The unit to train.
        hooks: The requests of the surrounding process, and the functions that keep it informed.
    """

    def __init__(self, run: Run, setups: Setups, unit: Unit, hooks: Hooks):
        self.run, self.setups, self.unit, self.hooks = run, setups, unit, hooks
        self.setup: Setup = setups.of(unit.variant)
        self.trainer: Trainer = self.setup.trainer
        self.seeds = plan.seeds_of(self.setup.config, unit)

    def ones(self) -> dict[str, np.ndarray]:
        """Return the masks of the dense network."""
        return masks_lib.ones(self.setup.shapes["masks"])

    def ticket(self, **changes: Any) -> Ticket:
        """Return the stored ticket of another unit, which differs from this one in the given fields."""
        return self.run.ticket(dataclasses.replace(self.unit, **changes), self.setup.shapes)

    def prune(self, before: Ticket) -> dict[str, np.ndarray]:
        """Return the masks of the unit's level, pruned from the ticket of the previous level.

        A note names the arrays of which the level keeps only the minimum.

        Raises:
            PruningError: the previous level diverged.
        """
        try:
            masks = self.setup.transition.next_masks(
                self.unit.level,
                initial=before.weights["rewind"],
                trained=before.weights["final"],
                masks=before.masks,
                seed=self.seeds["criterion"],
            )
        except PruningError as error:
            raise PruningError(f"R{str(self.unit)[1:]}: {error}") from error
        names = self.setup.transition.report_minimum(before.masks, masks)
        if names and plan.is_level(self.unit):  # not again for its controls
            self.hooks.on_note(f"R{str(self.unit)[1:]}: {names}")
        return masks

    def initialise(self, masks: Arrays) -> Arrays:
        """Give the network newly initialised weights and a new optimizer; return the weights."""
        return self._begin(masks, DENSE)

    def rewind(self, masks: Arrays) -> Arrays:
        """Set the network to the start point of the unit, and return the weights that it starts with.

        This is step k, with the weights and the optimizer state that `prune.rewind` or the control requires. Controls
        that are reinitialised start at step 0.
        """
        return self._begin(masks, self.setup.transition.start_point(self.unit.level, self.unit.control))

    def train(self, masks: Arrays, *, keeps_rewind_state: bool = False) -> TrainingResult:
        """Train the network to step T, from its start point or from its newest checkpoint.

        Args:
            masks: The masks of the network.
            keeps_rewind_state: Whether the result contains the state at step k, for the k of every variant that shares
                the network. Defaults to False.

        Raises:
            StoppedError: `hooks` requested a stop. A checkpoint is saved first.
        """
        trainer, from_step = self.trainer, 0 if plan.starts_at_zero(self.unit) else self.setup.lengths.rewind
        sharing = self.setups.sharing_dense_network(self.unit.variant) if keeps_rewind_state else []
        rewind_steps = sorted({self.setups.of(label).lengths.rewind for label in sharing})
        trainer.replicas.check()
        checkpointer = Checkpointer(
            self.run, self.unit, trainer, self.hooks, from_step=from_step, snapshots_at=rewind_steps
        )
        progress = trainer.train(
            checkpointer.resume() or from_step,
            self.setup.lengths.total,
            shuffle_seed=self.seeds["shuffle"],
            augmentation_seed=self.seeds["augmentation"],
            snapshots_at=rewind_steps,
            pauses=checkpointer,
        )
        trainer.replicas.check()
        at_end = trainer.checkpoint(progress)  # before the evaluations below change the model's weights
        metrics = _metrics(masks, from_step, trainer, progress) | {"seeds": self.seeds}
        if self.unit.shuffle_seed and self.setup.config.stability.points:
            self._measure_line(progress, at_end, checkpointer)
        final, seconds = at_end.weights, checkpointer.seconds
        return TrainingResult(final["weights"], final["optimizer"], progress.snapshots, progress, metrics, seconds)

    def save(self, masks: Arrays, start: Arrays, trained: TrainingResult) -> None:
        """Store the results; if the unit is a dense network, store them for every variant that shares it."""
        if self.hooks.writes:
            if plan.is_dense(self.unit):
                self._save_dense(masks, trained)
            else:
                is_continued = self.setup.config.prune.rewind == "none" and plan.is_level(self.unit)
                optimizer = {"final": trained.optimizer} if is_continued else {}
                self._save(self.unit, masks, {"rewind": start, "final": trained.weights}, optimizer, trained)
        self.trainer.replicas.meet()  # wait for the chief: the next unit reads what this one has stored

    def _save_dense(self, masks: Arrays, trained: TrainingResult) -> None:
        """Store a dense network for each variant that shares it, with the state at the step k of that variant.

        Variants for which it is already stored are skipped.
        """
        # The unit itself is stored last: until then, a process that resumes finds it unfinished.
        for label in sorted(
            self.setups.sharing_dense_network(self.unit.variant), key=lambda label: label == self.unit.variant
        ):
            unit, setup = dataclasses.replace(self.unit, variant=label), self.setups.of(label)
            if self.run.is_done(unit):
                continue
            at_k = trained.at_k[setup.lengths.rewind]
            optimizer = {"rewind": at_k["optimizer"]}
            if setup.config.prune.rewind == "none":
                optimizer["final"] = trained.optimizer
            self._save(unit, masks, {"rewind": at_k["weights"], "final": trained.weights}, optimizer, trained)

    def _save(
        self,
        unit: Unit,
        masks: Arrays,
        weights: dict[str, Arrays],
        optimizer: dict[str, Arrays],
        trained: TrainingResult,
    ) -> None:
        self.run.save(
            unit,
            ticket=Ticket(masks, weights, _origin(self.setups.of(unit.variant), unit)),
            optimizer=optimizer,
            history=trained.progress.history,
            metrics=trained.metrics,
            line=trained.progress.line,
            seconds=trained.seconds,
        )

    def _begin(self, masks: Arrays, start: StartPoint) -> Arrays:
        return rewinding.begin(
            self.trainer.model,
            self.trainer.optimizer,
            masks,
            start,
            read=self._state,
            new=self._new_weights() if start.weights == "new" else None,
            control=self.unit.control,
            seed=self.seeds["control_weights"],
        )

    def _state(self, moment: str) -> State:
        """Read a stored state that a unit can start from; see `rewinding.begin`."""
        unit = Unit(self.unit.replicate, 0 if moment == "rewind" else self.unit.level - 1, variant=self.unit.variant)
        weights = self.run.ticket(unit, self.setup.shapes).weights[moment]
        if moment == "final" and self.setup.config.prune.rewind != "none":
            return {"weights": weights}
        return {"weights": weights, "optimizer": self.run.optimizer(unit, moment, self.setup.shapes)}

    def _new_weights(self) -> Arrays:
        return self.setup.initial_weights(self.seeds["initialisation"], self.seeds["dropout"])

    def _measure_line(self, progress: Progress, at_end: Ticket, checkpointer: Checkpointer) -> None:
        """Measure the line from the network with the first shuffle seed to this one, and add it to `progress`."""
        stability = self.setup.config.stability
        points = self.setup.connectivity.along(
            self.ticket(shuffle_seed=0).weights["final"],
            at_end.weights["weights"],
            points=stability.points,
            fresh_statistics=stability.fresh_statistics,
            seeds=(self.seeds["shuffle"], self.seeds["augmentation"]),
            measured=len(progress.line),
        )
        for point in points:
            progress.line.append(point)
            if len(progress.line) < stability.points:
                checkpointer.on_point(progress, at_end)


def _metrics(masks: Arrays, from_step: int, trainer: Trainer, progress: Progress) -> dict[str, Any]:
    """Return the metrics of a training run; afterwards the model has its early-stopping weights.

    Accuracies are between 0 and 1. "early_stop" refers to the step of the lowest validation loss.
    """
    at_end = trainer.evaluate("test")
    state.set_weights(progress.early_stop_weights, trainer.model)
    at_early_stop = trainer.evaluate("test", averaged=False)  # with moving averages, these weights are already averages
    return {
        "density": masks_lib.density(masks),
        "kept": masks_lib.kept(masks),
        "prunable": sum(mask.size for mask in masks.values()),
        "density_by_weight": masks_lib.density_by_weight(masks),
        "from_step": from_step,
        "to_step": trainer.steps,
        "evaluated_weights": "averages" if trainer.averages else "raw",
        "validation_accuracy": progress.history[-1]["validation_accuracy"],
        "test_accuracy": at_end["accuracy"],
        "test_loss": at_end["loss"],
        "early_stop_step": progress.early_stop_step,
        "early_stop_validation_loss": progress.early_stop_loss,
        "early_stop_test_accuracy": at_early_stop["accuracy"],
    }


def _origin(setup: Setup, unit: Unit) -> dict[str, Any]:
    """Return the metadata that say where a ticket comes from."""
    names = {"model": setup.config.model.name, "data": setup.config.data.name}
    return names | dataclasses.asdict(unit) | {"rewind_step": setup.lengths.rewind, "steps": setup.lengths.total}
