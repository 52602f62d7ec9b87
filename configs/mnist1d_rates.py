"""The best learning rate, by validation alone, for the small ResNet on MNIST-1D; for mnist1d_rewinding.py.

Command: python scripts/find_tickets.py --config=configs/mnist1d_rates.py --run_dir=runs/mnist1d_rates

21 training runs of 1,550 steps: 14 minutes on 2 cores with much other work beside them.

Seen with 3 replicates, mean [min-max], validation accuracy in percent at the end of training (500 signals, so that one
is 0.2 points):

    0.05   98.13 [98.00-98.20]
    0.1    98.60 [98.00-99.00]
    0.2    97.93 [97.60-98.60]
    0.4    98.33 [98.20-98.60]
    0.6    98.00 [97.40-98.60]
    0.8    98.00 [97.80-98.20]
    1.2    97.67 [97.20-98.60]
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
        variants={f"rate={rate}": {"train.learning_rate": rate} for rate in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2)},
    )
