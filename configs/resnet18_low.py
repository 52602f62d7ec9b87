"""ResNet-18 on CIFAR-10, at a tenth of the usual learning rate: tickets at step 0 already.

The row "ResNet-18 low" of the paper (arXiv 1903.01611, Fig. 2); what it leaves out is from Frankle & Carbin (2019,
App. I). It is the ResNet of 20 layers and 274K parameters that is made for CIFAR:

    45,000 training images, flipped and shifted by up to 4 pixels    30,000 steps of 128 (85 epochs)
    SGD, momentum 0.9, rate 0.01, / 10 at 20,000 and 25,000          no warmup
    L2 of 1e-4, Gaussian Glorot initialisation                       dense accuracy 89.1 percent
    global pruning of 20% a level, of the 3x3 convolutions only      rewinding to step 500 (1.7%)

The claim: with this rate there are tickets without rewinding (--config.prune.rewind_to=0it: 89.1 percent with 16.8% of
the weights, random subnetworks 86.1), but all are less accurate than at the usual rate. Here they are rewound to the
step that the usual rate needs, so that the three configs of this network can be compared.

Commands: python scripts/prepare_data.py cifar10  (once)
          python scripts/find_tickets.py --config=configs/resnet18_low.py --run_dir=runs/resnet18_low

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
            learning_rate=0.01,
            momentum=0.9,
            drops=("20000it", "25000it"),
            weight_decay=1e-4,
            batch_size=128,
            steps="30000it",
            evaluate_every="500it",
        ),
        prune=Prune(levels=10, fraction=0.2, scope="global", exclude=("shortcut", "^output/"), rewind_to="500it"),
    )
