"""SqueezeNet on ImageNet, pruned once: half of the weights, rewound to epoch 10, learn as well as all.

The row "SqueezeNet" of the paper (arXiv 1903.01611, Fig. 6); what it leaves out is from the model that it trained
(tensorflow/tpu, models/official/squeezenet; 1.25M parameters):

    random crops of 224 x 224, flipped                   150 epochs of 1,024 images a step
    SGD, Nesterov momentum 0.9                           rate 0.03, falling in a line to 0.005
    no L2 (see below), dropout 0.5                       dense accuracy 54.8 percent
    one pruning of 50%                                   rewinding to epoch 10 (6.7%)

The claim: with 50% of the weights pruned at once and the others rewound to epoch 10, the network reaches the accuracy
of the dense one; reinitialised it does not, and rewound too early it cannot learn at all.

The paper seems to have Inception's optimizer in this row and this one in Inception's; the reference has them as here.
The reference gives its convolutions an L2 of 2e-4 but minimises the cross-entropy alone, so it had none in effect
(--config.train.weight_decay=2e-4 has it). Its crops are 224 x 224 of an image whose shorter side is 256 to 512, not
Inception's. All kernels are pruned together. The reference trains in float32. 10,000 of the training images are held
out for validation, which the paper does not say of its own.

Commands: python scripts/prepare_data.py imagenet2012   (once; it says which archives it needs)
          python scripts/find_tickets.py --config=configs/squeezenet_oneshot.py --run_dir=runs/squeezenet_oneshot

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
        model=Model("squeezenet"),
        data=Data("imagenet2012", augment="inception", image_size=224),
        train=Train(
            optimizer="sgd",
            learning_rate=0.03,
            momentum=0.9,
            nesterov=True,
            decay="linear",
            final_learning_rate=0.005,
            weight_decay=0.0,
            precision="float32",
            batch_size=1024,
            steps="150ep",
            evaluate_every="1ep",
            threads=16,  # to decode images
        ),
        prune=Prune(levels=1, fraction=0.5, scope="global", rewind_to="10ep"),
        controls=("reinit",),
    )
