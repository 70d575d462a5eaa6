"""The lecture's CNN in PyTorch, eager or compiled: a peer of this project.

    python pytorch.py --data=mnist.npz --steps=200 --layout=channels_last
    python pytorch.py --data=mnist.npz --epochs=5 --compile

Prints one JSON line: images a second of training and inference, or the test loss and accuracy of a whole run.
The images lie in memory as one tensor, and each epoch takes its batches from a new random permutation. Of the usual
ways this is the faster one: a DataLoader that collates single images would slow down a network as small as this.
"""

import time

import protocol
import torch
from torch import nn
from torch.nn import functional as F


class CNN(nn.Module):
    def __init__(self, *, pooling: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.conv3 = nn.Conv2d(64, 128, 3)
        self.pool = nn.MaxPool2d(2) if pooling else nn.Identity()
        self.dense = nn.Linear(128 * 3 * 3 if pooling else 128 * 22 * 22, 10)

    def forward(self, images):
        x = self.pool(F.relu(self.conv1(images)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.conv3(x))
        return self.dense(torch.flatten(x, 1))


def train_step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.detach()


def train_epoch(model, optimizer, images, labels, batch_size, steps=None):
    """Trains on a new permutation of the images, for the first `steps` batches of it alone if given: the mean loss."""
    losses = []
    for rows in torch.randperm(len(images)).split(batch_size)[:steps]:
        losses.append(train_step(model, optimizer, images[rows], labels[rows]))
    return torch.stack(losses).mean().item()


@torch.inference_mode()
def infer(model, images):
    return torch.cat([model(batch) for batch in images.split(protocol.INFERENCE_BATCH_SIZE)])


def measure(model, optimizer, flags, images, labels, test_images) -> dict:
    """Training and inference speed after warm-up. On a CPU, PyTorch has done its work when a call returns."""
    train_epoch(model, optimizer, images, labels, flags.batch_size, flags.warmup)
    an_epoch, left, seconds = len(images) // flags.batch_size, flags.steps, 0.0
    while left > 0:
        start = time.perf_counter()
        train_epoch(model, optimizer, images, labels, flags.batch_size, min(left, an_epoch))
        seconds += time.perf_counter() - start
        left -= an_epoch
    rate = protocol.inference_rate(lambda batch: infer(model.eval(), batch), test_images)
    numbers = {"steps": flags.steps, "images": flags.steps * flags.batch_size, "seconds": seconds}
    return numbers | {"inference_images_per_second": rate}


def train(model, optimizer, flags, images, labels, test_images, test_labels) -> dict:
    start = time.perf_counter()
    for _ in range(flags.epochs):
        train_epoch(model, optimizer, images, labels, flags.batch_size)
    seconds = time.perf_counter() - start
    logits = infer(model.eval(), test_images)
    steps = flags.epochs * -(-len(images) // flags.batch_size)
    numbers = {"steps": steps, "images": flags.epochs * len(images), "seconds": seconds}
    numbers["test_loss"] = F.cross_entropy(logits, test_labels).item()
    numbers["test_accuracy"] = (logits.argmax(1) == test_labels).float().mean().item()
    return numbers


def own_flags(parser) -> None:
    parser.add_argument("--layout", choices=("nchw", "channels_last"), default="nchw")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")


def main() -> None:
    flags = protocol.read_flags(__doc__, own_flags)
    torch.set_num_threads(protocol.THREADS)
    torch.manual_seed(flags.seed)
    layout = torch.channels_last if flags.layout == "channels_last" else torch.contiguous_format
    images, labels, test_images, test_labels = map(torch.from_numpy, protocol.load(flags.data))
    images, test_images = (part.permute(0, 3, 1, 2).contiguous(memory_format=layout) for part in (images, test_images))
    labels, test_labels = labels.long(), test_labels.long()
    model = CNN(pooling=flags.pooling).to(memory_format=layout)
    # The values of Keras. PyTorch adds eps to the root, Keras under it: the closest that stock PyTorch comes.
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
    if flags.compile:
        model.compile()
    if flags.epochs:
        numbers = train(model, optimizer, flags, images, labels, test_images, test_labels)
    else:
        numbers = measure(model, optimizer, flags, images, labels, test_images)
    name = f"pytorch_{'compiled' if flags.compile else 'eager'}_{flags.layout}"
    protocol.report(name, flags, versions={"torch": torch.__version__}, **numbers)


if __name__ == "__main__":
    main()
