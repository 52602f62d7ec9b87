"""Which learning rate the small ResNet learns MNIST-1D best with, judged by validation alone: for mnist1d_rewinding.py.

Command: python scripts/find_tickets.py --config=configs/mnist1d_rates.py --run_dir=runs/mnist1d_rates
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        seed=100,  # other networks than those of the experiment that it is for
        replicates=3,
        model=Model("resnet_8_w8_1d"),
        data=Data("mnist1d"),
        train=Train(
            optimizer="sgd",
            drops=("775it", "1162it"),
            weight_decay=1e-4,
            batch_size=64,
            steps="1550it",
            evaluate_every="155it",
        ),
        prune=Prune(levels=0),
        variants=tuple(f"rate={rate}: train.learning_rate={rate}" for rate in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2)),
    )
