"""The devices of a process: its threads, its distribution strategy, and the checks that keep replicas equal."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lottery import keras_compat
from tf_lottery.errors import ClusterError, ConfigError, ModelError, RunError
from tf_lottery.training.topology import Topology


def configure(threads: int, *, deterministic_ops: bool, one_device: bool = True) -> None:
    """Make the results of this process repeatable: thread counts, deterministic ops, restorable randomness.

    Call it before TensorFlow runs its first op. The number of threads changes results in the last bits, so it belongs
    to the experiment, not to the machine.

    Args:
        threads: Number of threads that an op may use.
        deterministic_ops: Whether to turn on TensorFlow's op determinism. It does not work with XLA, which is
            repeatable without it on one CPU device.
        one_device: Whether one device trains, so that running one op at a time is enough; several devices wait for each
            other. Defaults to True.

    Raises:
        ConfigError: TensorFlow has already started with other thread counts.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1 if one_device else 0)
    except RuntimeError as error:
        raise ConfigError(f"TensorFlow already runs in this process; {threads} threads cannot be set now.") from error
    if deterministic_ops:
        tf.config.experimental.enable_op_determinism()
    keras_compat.make_randomness_restorable()


def device_kind() -> str:
    """Return the kind of the device that trains, `"CPU"`, `"GPU"` or `"TPU"`; `configure` can still be called."""
    kinds = {device.device_type for device in tf.config.list_physical_devices()}
    return next((kind for kind in ("TPU", "GPU") if kind in kinds), "CPU")


def start() -> None:
    """Start TensorFlow, so that its warnings about missing devices come now rather than later."""
    tf.config.list_logical_devices()


def make(topology: Topology) -> tf.distribute.Strategy:
    """Create the strategy that a topology names. Call it before TensorFlow runs its first op.

    Raises:
        ConfigError: the strategy is unknown, or there are fewer devices than it needs.
    """
    topology.check()
    return _STRATEGIES[topology.strategy](topology.devices)


def _default(devices: int) -> tf.distribute.Strategy:
    return tf.distribute.get_strategy()


def _mirrored(devices: int) -> tf.distribute.Strategy:
    gpus = [f"GPU:{index}" for index, _ in enumerate(tf.config.list_physical_devices("GPU"))]
    if len(gpus) < devices and gpus:
        raise ConfigError(f"`devices` must be at most the number of GPUs, {len(gpus)}. Received: devices={devices}")
    if gpus:
        return tf.distribute.MirroredStrategy(gpus[: devices or None])
    cpus = [tf.config.LogicalDeviceConfiguration()] * max(devices, 1)
    try:
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], cpus)
    except RuntimeError as error:
        raise ConfigError(
            f"TensorFlow already runs in this process; its CPU cannot be made {len(cpus)} devices now."
        ) from error
    # Not the default reduction: its collectives fail on logical CPUs (TensorFlow 2.21).
    names = [f"CPU:{index}" for index, _ in enumerate(cpus)]
    return tf.distribute.MirroredStrategy(names, tf.distribute.ReductionToOneDevice())


def _multi_worker(devices: int) -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu(devices: int) -> tf.distribute.Strategy:
    """Create the strategy for a TPU. It has never been run, for lack of a TPU."""
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise ConfigError(
            f"Strategy 'tpu' found no TPU. TPU_NAME={name!r} says where to look: 'local' on a TPU VM, else the TPU's "
            "name or address."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


_STRATEGIES: dict[str, Callable[[int], tf.distribute.Strategy]] = {
    "default": _default,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "tpu": _tpu,
}


def check_batch_size(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Raise ConfigError if the replicas cannot share a batch evenly."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        near = sorted({max(batch_size // replicas, 1) * replicas, -(-batch_size // replicas) * replicas})
        raise ConfigError(
            f"`train.batch_size` is the batch of all {replicas} replicas together, so {replicas} must divide it: "
            f"{' or '.join(map(str, near))}. Received: {batch_size}"
        )


@contextlib.contextmanager
def lost_workers() -> Iterator[None]:
    """Turn the errors that TensorFlow raises when another worker is lost into ClusterError."""
    try:
        yield
    except tf.errors.OpError as error:
        if tf.distribute.get_strategy().cluster_resolver is None:
            raise
        raise ClusterError(
            "Another worker has stopped or cannot be reached; its own output may say why. Start all workers again "
            "with the same command: finished units are stored."
        ) from error


class Replicas:
    """Keeps the copies of variables equal on all devices of all workers; traced once. Does nothing on one device.

    Args:
        variables: All variables that must be equal.
        averaged: Those among them that each replica changes by itself, such as the statistics of BatchNorm, by name.
    """

    def __init__(self, variables: Sequence[Any], averaged: Mapping[str, Any]):
        self._strategy = tf.distribute.get_strategy()
        self._variables = [keras_compat.tf_variable(variable) for variable in variables]
        found = {name: keras_compat.tf_variable(variable) for name, variable in averaged.items()}
        self._averaged = {name: variable for name, variable in found.items() if variable.dtype.is_floating}
        self._unify, self._sums, self._own, self._mean = (
            tf.function(function, autograph=False)
            for function in (self._assign_means, self._checksums, self._gather, self._mean_over_workers)
        )

    @property
    def are_many(self) -> bool:
        return self._strategy.num_replicas_in_sync > 1

    def unify(self) -> None:
        """Set the variables `averaged` to their means over all replicas."""
        if self.are_many and self._averaged:
            self._unify()

    def check(self) -> None:
        """Compare a checksum of each variable on all replicas of all workers.

        Raises:
            RunError: some variables differ, which should never happen.
        """
        if not self.are_many:
            return
        sums = self._sums().numpy()
        different = (sums != sums[0]).any(axis=0)
        if different.any():
            names = [variable.name for variable, differs in zip(self._variables, different, strict=True) if differs]
            raise RunError(
                f"The replicas should hold the same values, but do not agree on {', '.join(names)}. Start again with "
                "the same command: finished units are stored."
            )

    def mean(self, values: Sequence[float]) -> list[float]:
        """Return the means of the values of all workers, equal on each of them; a single worker gets its own values."""
        if self._strategy.cluster_resolver is None:
            return list(values)
        return self._mean(tf.constant(values, tf.float32)).numpy().tolist()

    def meet(self) -> None:
        """Wait until all workers have called this."""
        self.mean([0.0])

    def own_values(self) -> dict[str, np.ndarray]:
        """Return the values of `averaged` on each replica, one row for each replica, by name; empty on one device."""
        if not self.are_many:
            return {}
        return {name: rows.numpy() for name, rows in self._own().items()}

    def set_own_values(self, values: Mapping[str, np.ndarray]) -> None:
        """Set the variables on each replica to its row of the values that `own_values` returned."""
        if not values:
            return
        if values.keys() != self._averaged.keys():
            raise ModelError(
                f"The values of each replica must be those of {', '.join(self._averaged) or 'no variable'}. "
                f"Received: {', '.join(values)}"
            )
        replica_id = self._strategy.run(lambda: tf.distribute.get_replica_context().replica_id_in_sync_group)
        places = [int(place) for place in self._strategy.experimental_local_results(replica_id)]
        for name, rows in values.items():
            copies = self._strategy.experimental_local_results(self._averaged[name])
            for place, copy in zip(places, copies, strict=True):
                copy.assign(rows[place])

    def _mean_over_workers(self, values: tf.Tensor) -> tf.Tensor:
        return self._strategy.reduce("MEAN", self._strategy.run(tf.identity, args=(values,)), axis=None)

    def _assign_means(self) -> None:
        # Each replica must read its own copy: `reduce` assumes that a mirrored variable is equal everywhere.
        own = self._strategy.run(lambda: {name: tf.identity(variable) for name, variable in self._averaged.items()})
        for name, values in own.items():
            self._averaged[name].assign(self._strategy.reduce("MEAN", values, axis=None))

    def _gather(self) -> dict[str, tf.Tensor]:
        rows = self._strategy.run(
            lambda: {name: tf.identity(variable)[None] for name, variable in self._averaged.items()}
        )
        return {name: self._strategy.gather(row, axis=0) for name, row in rows.items()}

    def _checksums(self) -> tf.Tensor:
        """Return the checksums, one row for each replica and one column for each variable."""
        own = self._strategy.run(lambda: tf.stack([_checksum(variable) for variable in self._variables])[None])
        return self._strategy.gather(own, axis=0)


def _checksum(variable: Any) -> tf.Tensor:
    """Return a sum over the bits of a variable, weighted by position; in 64 bits: GPUs do not add 32-bit integers."""
    value = tf.reshape(tf.convert_to_tensor(variable), [-1])
    if value.dtype.is_floating:
        value = tf.bitcast(value, {2: tf.int16, 4: tf.int32, 8: tf.int64}[value.dtype.size])
    places = tf.range(tf.size(value, tf.int64), dtype=tf.int64)
    return tf.reduce_sum(tf.cast(value, tf.int64) * (2 * places + 1))
