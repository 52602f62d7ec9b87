"""ResNet-18 on CIFAR-10, at the usual learning rate: no tickets at step 0, tickets at step 500.

The row "ResNet-18 standard" of the paper (arXiv 1903.01611, Fig. 2); what it leaves out is from Frankle & Carbin
(2019, App. I). It is the ResNet of 20 layers and 274K parameters that is made for CIFAR:

    45,000 training images, flipped and shifted by up to 4 pixels    30,000 steps of 128 (85 epochs)
    SGD, momentum 0.9, rate 0.1, / 10 at 20,000 and 25,000           no warmup
    L2 of 1e-4, Gaussian Glorot initialisation                       dense accuracy 90.5 percent
    global pruning of 20% a level, of the 3x3 convolutions only      rewinding to step 500 (1.7%)

The claim (Fig. 5): subnetworks rewound to step 0 (--config.prune.rewind_to=0it) are no better than reinitialised ones;
rewound to step 500 they are more accurate than the dense network. 16.8% of the weights (level 8) is where the paper
measures stability.

Commands: python scripts/prepare_data.py cifar10  (once)
          python scripts/find_tickets.py --config=configs/resnet18_standard.py --run_dir=runs/resnet18_standard

Needs one GPU; 93 training runs (3 replicates, 10 levels, 2 controls), side by side with --jobs where memory allows.
--strategy=mirrored uses all GPUs of a machine; --strategy=multi_worker several machines, each running this command
with the variable TF_CONFIG, which names them all and this one; --strategy=tpu a TPU.

Tested only with --smoke (noise instead of images, a few steps).
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=3,
        model=Model("resnet_20"),
        data=Data("cifar10", augment="flip_and_crop"),
        train=Train(
            optimizer="sgd",
            learning_rate=0.1,
            momentum=0.9,
            drops=("20000it", "25000it"),
            weight_decay=1e-4,
            batch_size=128,
            steps="30000it",
            evaluate_every="500it",
        ),
        prune=Prune(levels=10, fraction=0.2, scope="global", exclude=("shortcut", "^output/"), rewind_to="500it"),
    )
