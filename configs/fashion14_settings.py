"""Low rates and warmup let iterative pruning from the initialisation beat random masks: 14x14 Fashion-MNIST.

The network of configs/fashion14_rewinding.py, where a rate of 0.2 makes k = 0 fail, from k = 0 at a rate of 0.03, and
at 0.2 after a linear warmup of 600 steps.

Commands: python scripts/prepare_data.py fashion_mnist_14   (once)
          python scripts/find_tickets.py --config=configs/fashion14_settings.py --run_dir=runs/fashion14_settings

100 training runs of up to 2,340 steps: 23 minutes on 2 cores with other work beside them.

Seen at 13.4% of the weights with 5 replicates, mean [min-max], test accuracy in percent at the end of training; angle
between two data orders in degrees and error barrier in percentage points, of tickets and, in brackets, of random masks:

    variant           dense                ticket               random mask          angle        barrier
    rate 0.03         85.43 [85.11-85.80]  83.85 [83.08-84.43]  82.51 [82.10-82.85]  26.4 (60.9)  0.82 (18.93)
    rate 0.2, warmup  85.70 [85.21-86.38]  83.86 [83.47-84.31]  82.93 [82.72-83.31]  43.5 (58.4)  4.18 (12.62)

Shown (paired over replicates): in both the ticket of k = 0 is more accurate than random masks, and more stable to
pruning; at 0.03 also to data order, without an error barrier. Contradicted: it is as accurate as its dense network.
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=5,
        model=Model("resnet_8_w4"),
        data=Data("fashion_mnist_14"),
        train=Train(
            optimizer="sgd",
            learning_rate=0.2,
            drops=("1170it", "1755it"),
            weight_decay=1e-4,
            batch_size=64,
            steps="2340it",
            evaluate_every="156it",
        ),
        prune=Prune(levels=3, fraction=0.488, exclude=("shortcut", "^output/"), reset_optimizer=True),
        controls=("random_mask",),
        shuffle="fresh",
        stability=Stability(levels=(3,), shuffle_seeds=1),
        variants={"rate 0.03": {"train.learning_rate": 0.03}, "rate 0.2, warmup": {"train.warmup": "600it"}},
    )
