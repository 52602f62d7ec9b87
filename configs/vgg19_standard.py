"""VGG-19 on CIFAR-10, at the usual learning rate: no tickets at step 0, tickets at step 100.

The row "VGG-19 standard" of the paper (arXiv 1903.01611, Fig. 2); what it leaves out is from Frankle & Carbin (2019,
App. I):

    45,000 training images, flipped and shifted by up to 4 pixels    112,000 steps of 64 (160 epochs)
    SGD, momentum 0.9, rate 0.1, / 10 at 56,000 and 84,000           no warmup
    L2 of 1e-4, Gaussian Glorot initialisation                       dense accuracy 91.5 percent
    global pruning of 20% a level, of the convolutions only          rewinding to step 100 (0.09%)

The paper seems to have the drops of ResNet-18 in this row and these in that one; Frankle & Carbin have them as here.

The claim (Fig. 5): subnetworks rewound to step 0 (--config.prune.rewind_to=0it) are no better than reinitialised ones;
rewound to step 100 they are more accurate than the dense network. 2.2% of the weights (level 17) is where the paper
measures stability.

Commands: python scripts/prepare_data.py cifar10  (once)
          python scripts/find_tickets.py --config=configs/vgg19_standard.py --run_dir=runs/vgg19_standard

Needs one GPU; 156 training runs (3 replicates, 17 levels, 2 controls), side by side with --jobs where memory allows.
--strategy=mirrored uses all GPUs of a machine; --strategy=multi_worker several machines, each running this command
with the variable TF_CONFIG, which names them all and this one; --strategy=tpu a TPU.

Tested only with --smoke (noise instead of images, a few steps).
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=3,
        model=Model("vgg_19"),
        data=Data("cifar10", augment="flip_and_crop"),
        train=Train(
            optimizer="sgd",
            learning_rate=0.1,
            momentum=0.9,
            drops=("56000it", "84000it"),
            weight_decay=1e-4,
            batch_size=64,
            steps="112000it",
            evaluate_every="1000it",
        ),
        prune=Prune(levels=17, fraction=0.2, scope="global", exclude=("^output/",), rewind_to="100it"),
    )
