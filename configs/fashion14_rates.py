"""The best learning rate, by validation, for the small ResNet on 14x14 Fashion-MNIST; for fashion14_rewinding.py.

Commands: python scripts/prepare_data.py fashion_mnist_14   (once)
          python scripts/find_tickets.py --config=configs/fashion14_rates.py --run_dir=runs/fashion14_rates

15 training runs of 2,340 steps: 6 minutes on 2 cores with other work beside them.

Seen with 3 replicates, mean [min-max], validation accuracy in percent at the end of training:

    0.03   85.73 [85.40-86.28]
    0.1    86.07 [85.60-86.38]
    0.2    86.37 [86.08-86.74]
    0.4    85.80 [85.58-85.92]
    0.8    85.27 [84.82-85.56]
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        seed=100,  # other networks than those of the experiment that it is for
        replicates=3,
        model=Model("resnet_8_w4"),
        data=Data("fashion_mnist_14"),
        train=Train(
            optimizer="sgd",
            drops=("1170it", "1755it"),
            weight_decay=1e-4,
            batch_size=64,
            steps="2340it",
            evaluate_every="156it",
        ),
        prune=Prune(levels=0),
        variants={f"rate={rate}": {"train.learning_rate": rate} for rate in (0.03, 0.1, 0.2, 0.4, 0.8)},
    )
