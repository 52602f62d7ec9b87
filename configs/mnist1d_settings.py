"""Low rates and warmup let iterative pruning from the initialisation beat random masks: a small ResNet on MNIST-1D.

The network of configs/mnist1d_rewinding.py, where a rate of 0.6 makes k = 0 fail, at rates of 0.05 and 0.6, the latter
also after a linear warmup of 400 steps; each from k = 0 and from k = 60. In these, each level has its own data order
and starts with fresh momentum; a fourth setting replays one order and rewinds the momentum too, which is the default.

Command: python scripts/find_tickets.py --config=configs/mnist1d_settings.py --run_dir=runs/mnist1d_settings

375 training runs of up to 1,550 steps: 17 minutes on 2 cores with tests beside them.

Seen at 13.4% of the weights with 5 replicates, mean [min-max], test accuracy in percent at the end of training; angle
between two data orders in degrees and error barrier in percentage points, of tickets and, in brackets, of random masks:

    variant                 dense                ticket               random mask          angle        barrier
    rate 0.05, k=0          98.16 [97.90-98.30]  97.94 [97.60-98.40]  96.24 [94.60-97.00]  19.0 (61.1)  0.40 (27.59)
    rate 0.05, k=60         98.16 [97.90-98.30]  97.88 [97.30-98.50]  96.74 [95.80-97.50]  11.9 (48.5)  0.30 (11.26)
    rate 0.6, k=0           98.00 [97.40-98.70]  95.92 [94.70-97.00]  96.00 [94.40-96.80]  77.0 (79.5)  42.72 (57.04)
    rate 0.6, k=60          98.00 [97.40-98.70]  97.84 [97.30-98.50]  95.66 [94.50-96.40]  25.8 (59.4)  0.46 (34.10)
    rate 0.6, warmup, k=0   98.64 [98.40-98.90]  97.64 [97.10-98.10]  96.46 [95.90-97.00]  41.7 (62.3)  3.52 (20.50)
    rate 0.6, warmup, k=60  98.64 [98.40-98.90]  98.20 [97.80-98.50]  96.72 [95.20-98.30]  32.3 (64.5)  0.32 (21.15)
    rate 0.6, replay, k=0   98.00 [97.40-98.70]  96.44 [95.90-97.10]  96.54 [96.20-97.10]  77.0 (77.9)  55.11 (51.30)
    rate 0.6, replay, k=60  98.00 [97.40-98.70]  97.54 [96.90-98.50]  95.30 [94.50-95.80]  27.1 (58.0)  0.46 (30.20)

Shown (paired over replicates): at the rate of 0.05 and after warmup the ticket of k=0 is more accurate and more stable
than random masks, at 0.6 without warmup it is neither; at 0.6 those of k=60, replay or not, are more accurate than that
of k=0. Contradicted: after warmup the ticket of k=0 is as accurate as the dense network; not shown: at 0.05.
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train

_SETTINGS = {
    "rate 0.05": {"train.learning_rate": 0.05},
    "rate 0.6": {},
    "rate 0.6, warmup": {"train.warmup": "400it"},
    "rate 0.6, replay": {"shuffle": "replay", "prune.reset_optimizer": False},
}


def get_config() -> Experiment:
    return Experiment(
        replicates=5,
        model=Model("resnet_8_w8_1d"),
        data=Data("mnist1d"),
        train=Train(
            optimizer="sgd",
            momentum=0.9,
            learning_rate=0.6,
            drops=("775it", "1162it"),
            weight_decay=1e-4,
            batch_size=64,
            steps="1550it",
            evaluate_every="155it",
        ),
        prune=Prune(levels=3, fraction=0.488, reset_optimizer=True, exclude=("shortcut", "^output/")),
        controls=("random_mask",),
        shuffle="fresh",
        stability=Stability(levels=(3,), shuffle_seeds=1),
        variants={
            f"{name}, k={k}": {"prune.rewind_to": f"{k}it", **changes}
            for name, changes in _SETTINGS.items()
            for k in (0, 60)
        },
    )
