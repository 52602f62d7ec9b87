"""Methods of pruning and of retraining: ways to 6.9% of the weights of a small ResNet on MNIST-1D.

The network of configs/mnist1d_rewinding.py, rewound to k = 60, against pruning by 20% a level, in one shot, layer by
layer, and by other criteria (Zhou et al. 2019, arXiv 1905.01067), and against alternatives to weight rewinding after
pruning: learning-rate rewinding and fine-tuning (Renda et al. 2020, arXiv 2003.02389).

Command: python scripts/find_tickets.py --config=configs/mnist1d_methods.py --run_dir=runs/mnist1d_methods

210 training runs of up to 1,550 steps: 12 minutes on 2 cores with other work beside them.

Seen at 6.9% of the weights with 5 replicates, mean [min-max], test accuracy in percent at the end of training:

    dense                    98.00 [97.40-98.70]
    48.8% a level            97.46 [97.30-97.60]
    20% a level              97.26 [97.00-97.50]
    one-shot                 96.78 [96.00-98.30]
    layerwise                88.62 [71.50-94.50]
    learning-rate rewinding  97.30 [96.90-97.90]
    fine-tuning              95.04 [94.60-95.50]
    movement                 96.48 [95.70-97.40]
    magnitude increase       96.36 [96.00-96.70]
    at random                81.40 [75.70-87.90]

Shown (paired over replicates): pruning by 20% a level, movement, magnitude increase, at random, and fine-tuning end
below pruning by 48.8% a level with weight rewinding. Not shown: one-shot and layerwise pruning (whose replicates are
far apart) and learning-rate rewinding do.
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
        shuffle="fresh",
        variants={
            "48.8% a level": {},
            "20% a level": {"prune.levels": 12, "prune.fraction": 0.2},
            "one-shot": {"prune.levels": 1, "prune.fraction": 0.931280523264},
            "layerwise": {"prune.scope": "layerwise"},
            "learning-rate rewinding": {"prune.rewind": "learning_rate"},
            "fine-tuning": {"prune.rewind": "none"},
            "movement": {"prune.criterion": "movement"},
            "magnitude increase": {"prune.criterion": "magnitude_increase"},
            "at random": {"prune.criterion": "random", "prune.scope": "layerwise"},
        },
    )
