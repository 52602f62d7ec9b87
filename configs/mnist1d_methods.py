"""What else could be pruned by, and what else could follow: ways to 6.9% of the weights of a small ResNet on MNIST-1D.

The network of configs/mnist1d_rewinding.py, rewound to k = 60, against pruning by 20% a level, in one shot, layer by
layer, and by other criteria (Zhou et al. 2019, arXiv 1905.01067), and against what may follow pruning in the place of
weight rewinding: learning-rate rewinding and fine-tuning (Renda et al. 2020, arXiv 2003.02389).

Command: python scripts/find_tickets.py --config=configs/mnist1d_methods.py --run_dir=runs/mnist1d_methods
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


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
        prune=Prune(levels=4, fraction=0.488, rewind_to="60it", reset_optimizer=True, exclude=("shortcut", "^output/")),
        controls=(),
        data_order="fresh",
        variants=(
            "48.8% a level:",
            "20% a level: prune.levels=12; prune.fraction=0.2",
            "one-shot: prune.levels=1; prune.fraction=0.931280523264",  # 1 - (1 - 0.488)**4
            "layerwise: prune.scope=layerwise",
            "learning-rate rewinding: prune.rewind=learning_rate",
            "fine-tuning: prune.rewind=none",
            "movement: prune.criterion=movement",
            "magnitude increase: prune.criterion=magnitude_increase",
            "at random: prune.criterion=random; prune.scope=layerwise",  # of all layers at once it would empty the first
        ),
    )
