"""ResNet-50 on ImageNet, pruned once: 30% of the weights, rewound to epoch 4, learn as well as all.

The row "ResNet-50" of the paper (arXiv 1903.01611, Fig. 6); what it leaves out is from the model that it trained
(tensorflow/tpu, models/official/resnet; 25.5M parameters):

    random crops of 224 x 224, flipped                   90 epochs of 1,024 images a step
    SGD, Nesterov momentum 0.9, rate 0.4, / 10 after     5 epochs of linear warmup
    30, 60 and 80 epochs                                 dense accuracy 76.1 percent
    L2 of 1e-4                                           one pruning of 70%, rewinding to epoch 4 (4.4%)

The claim: with 70% of the weights pruned at once and the others rewound to epoch 4, the network reaches the accuracy
of the dense one; rewound to step 0 (--config.prune.rewind_to=0it) or reinitialised it does not.

All kernels are pruned together, shortcuts and output too: the paper names no exception for ImageNet, and the framework
of its authors (facebookresearch/open_lth) makes none. bfloat16 is the reference's default. 10,000 of the training
images are held out for validation, which the paper does not say of its own.

Commands: python scripts/prepare_data.py imagenet2012   (once; it says which archives it needs)
          python scripts/find_tickets.py --config=configs/resnet50_oneshot.py --run_dir=runs/resnet50_oneshot

Needs 8 GPUs or a TPU of 8 cores, as the reference; 1,024 is the batch of all devices together. 15 training runs (5
replicates of the dense network, the ticket and a reinitialised one). --strategy=mirrored uses all GPUs of a machine;
--strategy=multi_worker several machines, each running this command with the variable TF_CONFIG, which names them all
and this one; --strategy=tpu a TPU. A run can be killed at any moment; the same command resumes it.

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
        prune=Prune(levels=1, fraction=0.7, scope="global", rewind_to="4ep"),
        controls=("reinit",),
    )
