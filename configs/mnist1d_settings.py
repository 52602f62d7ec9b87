"""Low rates and warmup let iterative pruning from the initialisation find tickets: a small ResNet on MNIST-1D.

The network of configs/mnist1d_rewinding.py, where a rate of 0.6 makes k = 0 fail, at rates of 0.05 and 0.6, the latter
also after a linear warmup of 400 steps; each from k = 0 and from k = 60. There each level has an own data order and
starts with fresh momentum; a fourth setting replays one order and rewinds the momentum too, which is our default.

Command: python scripts/find_tickets.py --config=configs/mnist1d_settings.py --run_dir=runs/mnist1d_settings
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train

_SETTINGS = {
    "rate 0.05": "train.learning_rate=0.05",
    "rate 0.6": "",
    "rate 0.6, warmup": "train.warmup=400it",
    "rate 0.6, replay": "data_order='replay'; prune.reset_optimizer=False",
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
        data_order="fresh",
        stability=Stability(levels=(3,), orders=1),
        variants=tuple(
            f"{name}, k={k}: prune.rewind_to={k}it; {change}".removesuffix("; ")
            for name, change in _SETTINGS.items()
            for k in (0, 60)
        ),
    )
