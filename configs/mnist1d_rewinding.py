"""Where iterative magnitude pruning from the initialisation fails, and rewinding to an early step rescues it.

python scripts/find_tickets.py --config=configs/mnist1d_rewinding.py --run_dir=runs/mnist1d_rewinding
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=3,
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
        controls=("random_mask", "reinit"),
        data_order="fresh",
        stability=Stability(levels=(3,), orders=2),
        variants=("k=0: prune.rewind_to=0it", "k=60: prune.rewind_to=60it"),
    )
