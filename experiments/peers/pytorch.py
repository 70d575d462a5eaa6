"""The lecture's CNN in PyTorch, eager or compiled: a peer of this project.

    python pytorch.py --data=mnist.npz --steps=200 --layout=channels_last
    python pytorch.py --data=mnist.npz --epochs=5 --compile

Prints one JSON line: images per second of training and inference, or the test loss and accuracy of a whole run.
The images are one tensor in memory, and each epoch takes its batches from a new random permutation. This is the fastest
of the usual ways: a DataLoader that collates single images would slow down such a small network.
"""

import argparse
import time
from typing import NamedTuple

import protocol
import torch
from torch import nn
from torch.nn import functional as F


class CNN(nn.Module):
    def __init__(self, *, pooling: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.conv3 = nn.Conv2d(64, 128, 3)
        self.pool = nn.MaxPool2d(2) if pooling else nn.Identity()
        self.dense = nn.Linear(128 * 3 * 3 if pooling else 128 * 22 * 22, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.conv1(images)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.conv3(x))
        return self.dense(torch.flatten(x, 1))


class Data(NamedTuple):
    images: torch.Tensor
    labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor


def load(path: str, layout: torch.memory_format, device: torch.device) -> Data:
    """MNIST as tensors: images float32 [N, C, H, W] in the given memory layout, labels int64 [N].

    All are on the device, but for the test labels, which are compared with logits on the host.
    """
    images, labels, test_images, test_labels = (torch.from_numpy(part) for part in protocol.load(path))

    def laid_out(part: torch.Tensor) -> torch.Tensor:
        # reshape, not permute: with one channel the strides of permute would look like channels-last to every layer.
        return part.reshape(-1, 1, 28, 28).contiguous(memory_format=layout).to(device)

    return Data(laid_out(images), labels.long().to(device), laid_out(test_images), test_labels.long())


class Trainer:
    def __init__(self, model: nn.Module, data: Data, batch_size: int) -> None:
        self.model, self.data, self.batch_size = model, data, batch_size
        # The values of Keras. PyTorch adds eps after the square root, Keras before it; PyTorch has no closer option.
        self.optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self, steps: int | None = None) -> float:
        """Trains on a new permutation of the images, or on its first `steps` batches; returns the mean loss."""
        losses = []
        for rows in torch.randperm(len(self.data.images)).split(self.batch_size)[:steps]:
            losses.append(self.step(self.data.images[rows], self.data.labels[rows]))
        return torch.stack(losses).mean().item()

    @torch.inference_mode()
    def infer(self, images: torch.Tensor) -> torch.Tensor:
        self.model.eval()
        return torch.cat([self.model(batch) for batch in images.split(protocol.INFERENCE_BATCH_SIZE)]).cpu()


def measure(trainer: Trainer, warmup: int, steps: int) -> dict[str, float]:
    """Training and inference speed after warm-up. An epoch's loss and the logits are on the host when it returns."""
    trainer.epoch(warmup)
    an_epoch, seconds = len(trainer.data.images) // trainer.batch_size, 0.0
    for done in range(0, steps, an_epoch):
        start = time.perf_counter()
        trainer.epoch(min(an_epoch, steps - done))
        seconds += time.perf_counter() - start
    rate = protocol.inference_rate(trainer.infer, trainer.data.test_images)
    numbers = {"steps": steps, "images": steps * trainer.batch_size, "seconds": seconds}
    return numbers | {"inference_images_per_second": rate}


def train(trainer: Trainer, epochs: int) -> dict[str, float]:
    data, start = trainer.data, time.perf_counter()
    for _ in range(epochs):
        trainer.epoch()
    seconds = time.perf_counter() - start
    logits = trainer.infer(data.test_images)
    steps = epochs * -(-len(data.images) // trainer.batch_size)
    return {
        "steps": steps,
        "images": epochs * len(data.images),
        "seconds": seconds,
        "test_loss": F.cross_entropy(logits, data.test_labels).item(),
        "test_accuracy": (logits.argmax(1) == data.test_labels).double().mean().item(),
    }


def own_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layout", choices=("nchw", "channels_last"), default="nchw")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")


def device_of(flags: argparse.Namespace) -> torch.device:
    if flags.device == "cpu":
        return torch.device("cpu")
    protocol.require_gpu("PyTorch", is_there=torch.cuda.is_available())
    torch.backends.cudnn.allow_tf32 = False  # convolutions would use TensorFloat-32
    return torch.device("cuda")


def main() -> None:
    flags = protocol.read_flags(__doc__, own_flags)
    torch.set_num_threads(protocol.THREADS)
    torch.manual_seed(flags.seed)
    layout = torch.channels_last if flags.layout == "channels_last" else torch.contiguous_format
    device = device_of(flags)
    data = load(flags.data, layout, device)
    model = CNN(pooling=flags.pooling).to(device, memory_format=layout)
    if flags.compile:
        model.compile()
    trainer = Trainer(model, data, flags.batch_size)
    numbers = train(trainer, flags.epochs) if flags.epochs else measure(trainer, flags.warmup, flags.steps)
    name = f"pytorch_{'compiled' if flags.compile else 'eager'}_{flags.layout}"
    found = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    protocol.report(name, flags, numbers, {"torch": torch.__version__}, found)


if __name__ == "__main__":
    main()
