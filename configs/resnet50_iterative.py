"""ResNet-50 on ImageNet, pruned by 20% a level: 20% of the weights, rewound to epoch 6, learn as well as all.

The row "ResNet-50" of the paper (arXiv 1903.01611, Fig. 6); what it leaves out is from the model that it trained
(tensorflow/tpu, models/official/resnet; 25.5M parameters):

    random crops of 224 x 224, flipped                   90 epochs of 1,024 images a step
    SGD, Nesterov momentum 0.9, rate 0.4, / 10 after     5 epochs of linear warmup
    30, 60 and 80 epochs                                 dense accuracy 76.1 percent
    L2 of 1e-4                                           20% a level, rewinding to epoch 6 (6.7%)

The claim: rewound to epoch 6 at every level, the network reaches the accuracy of the dense one with no more than 20%
of its weights (level 7: 21.0%).

All kernels are pruned together, shortcuts and output too: the paper names no exception for ImageNet, and the framework
of its authors (facebookresearch/open_lth) makes none. bfloat16 is the reference's default. 10,000 of the training
images are held out for validation, which the paper does not say of its own.

Commands: python scripts/prepare_data.py imagenet2012   (once; it says which archives it needs)
          python scripts/find_tickets.py --config=configs/resnet50_iterative.py --run_dir=runs/resnet50_iterative

Needs 8 GPUs or a TPU of 8 cores, as the reference; 1,024 is the batch of all devices together. 85 training runs (5
replicates, 8 levels, reinitialised ones). --strategy=mirrored uses all GPUs of a machine; --strategy=multi_worker
several machines, each running this command with the variable TF_CONFIG, which names them all and this one;
--strategy=tpu a TPU. A run can be killed at any moment; the same command resumes it.

Tested only with --smoke (noise instead of images, a few steps).
"""

from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train


def get_config() -> Experiment:
    return Experiment(
        replicates=5,
        model=Model("resnet_50"),
        data=Data("imagenet2012", augment="inception", image_size=224),
        train=Train(
            optimizer="sgd",
            learning_rate=0.4,  # 0.1 for every 256 images of a step
            momentum=0.9,
            nesterov=True,
            drops=("30ep", "60ep", "80ep"),
            warmup="5ep",
            weight_decay=1e-4,
            precision="mixed_bfloat16",
            batch_size=1024,
            steps="90ep",
            evaluate_every="1ep",
            threads=16,  # to decode images
        ),
        prune=Prune(levels=8, fraction=0.2, scope="global", rewind_to="6ep"),
        controls=("reinit",),
    )
