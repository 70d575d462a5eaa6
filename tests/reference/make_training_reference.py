"""Makes training_reference.json: losses, optimizers and schedules of PyTorch and Keras on small arrays.

    KERAS_BACKEND=torch python make_training_reference.py

Writes the file beside this script. It was made with PyTorch 2.13.0 and Keras 3.15.1 on it (CPU). Only this script
needs them: the project reads the numbers and never imports these libraries. What the file holds:

    logits, labels, partners, weight    of 12 images of 5 classes; the partners' labels and the weights of mixtures
    losses       a list of `by`, the `loss` and its `settings` here, `is_mixed`, and `values`: of each image, or `mean`
    params, gradients                   numbers by parameter's name and shape, before the first step and of four steps
    optimizers   a list of `by`, the `optimizer` and its `settings` here, `steps`, and the `params` after them; the
                 learning rate is 0.01
    schedules    a list of `by`, the `schedule` and its `settings` here, `warmup_steps`, and the `factors` of 21 steps
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from torch.nn import functional

SEED, CLASSES, STEPS, RATE = 3, 5, 20, 0.01
WEIGHTS = (1.0, 0.5, 2.0, 0.0, 3.0)
SHAPES = {"Conv_0/kernel": (3, 3, 2, 4), "Conv_0/bias": (4,), "GroupNorm_0/scale": (4,), "Dense_0/kernel": (6, 5)}

rng = np.random.default_rng(SEED)
LOGITS = np.float32(np.round(rng.normal(0, 3, (12, CLASSES)), 3))
LABELS, PARTNERS = rng.integers(0, CLASSES, (2, 12))
WEIGHT = np.float32(np.round(rng.random(12), 3))
PARAMS = {name: np.float32(np.round(rng.normal(0, 1, shape), 3)) for name, shape in SHAPES.items()}
GRADIENTS = [
    {name: np.float32(np.round(rng.normal(0, 0.1, shape), 4)) for name, shape in SHAPES.items()} for _ in range(4)
]


def losses() -> list[dict[str, Any]]:
    logits, labels = torch.tensor(LOGITS), torch.tensor(LABELS)
    one_hot = functional.one_hot(labels, CLASSES).float()
    weight = torch.tensor(WEIGHT)[:, None]
    soft = weight * one_hot + (1 - weight) * functional.one_hot(torch.tensor(PARTNERS), CLASSES)
    entropy = {"by": "torch.nn.functional.cross_entropy", "loss": "cross_entropy"}
    mixed = {"is_mixed": True}

    def cross_entropy(targets: torch.Tensor, **settings: Any) -> dict[str, Any]:
        return {"values": functional.cross_entropy(logits, targets, reduction="none", **settings).tolist()}

    weights = torch.tensor(WEIGHTS)
    cases = [
        {**entropy, "settings": {}, **cross_entropy(labels)},
        {**entropy, "settings": {"label_smoothing": 0.1}, **cross_entropy(labels, label_smoothing=0.1)},
        {**entropy, "settings": {"class_weights": WEIGHTS}, **cross_entropy(labels, weight=weights)},
        {**entropy, **mixed, "settings": {}, **cross_entropy(soft)},
        {**entropy, **mixed, "settings": {"label_smoothing": 0.2}, **cross_entropy(soft, label_smoothing=0.2)},
        {**entropy, **mixed, "settings": {"class_weights": WEIGHTS}, **cross_entropy(soft, weight=weights)},
    ]
    squared = functional.mse_loss(logits, one_hot, reduction="none").mean(1)
    cases.append({"by": "torch.nn.functional.mse_loss", "loss": "squared_error", "settings": {}})
    cases[-1]["values"] = squared.tolist()
    for gamma, alpha in ((2.0, ()), (0.5, ()), (2.0, WEIGHTS)):
        focal = keras.losses.CategoricalFocalCrossentropy(
            alpha=list(alpha) or 1.0, gamma=gamma, from_logits=True, reduction=None
        )
        cases.append({"by": "keras.losses.CategoricalFocalCrossentropy", "loss": "focal"})
        cases[-1] |= {"settings": {"gamma": gamma, "class_weights": alpha}}
        cases[-1]["values"] = keras.ops.convert_to_numpy(focal(one_hot, logits)).tolist()
    for smoothing in (0.0, 0.1):
        weighted = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        mean = weighted(one_hot, logits, sample_weight=np.float32(WEIGHTS)[LABELS])
        cases.append({"by": "keras.losses.CategoricalCrossentropy", "loss": "cross_entropy"})
        cases[-1] |= {"settings": {"label_smoothing": smoothing, "class_weights": WEIGHTS}, "mean": float(mean)}
    return cases


def with_torch(make: Callable, steps: int = len(GRADIENTS), *, is_matrix: bool = False) -> dict[str, Any]:
    """The parameters after some steps. is_matrix: kernels are [inputs, outputs], and nothing else is trained."""
    arrays = {name: a.reshape(-1, a.shape[-1]) if is_matrix else a for name, a in PARAMS.items()}
    params = {
        name: torch.nn.Parameter(torch.tensor(a.copy()))
        for name, a in arrays.items()
        if not is_matrix or a.shape[0] > 1
    }
    optimizer = make(params)
    for gradients in GRADIENTS[:steps]:
        for name, param in params.items():
            param.grad = torch.tensor(gradients[name]).reshape(param.shape)
        optimizer.step()
    return {name: param.detach().flatten().tolist() for name, param in params.items()}


def with_keras(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    variables = [keras.Variable(array, name=name.replace("/", "_")) for name, array in PARAMS.items()]
    optimizer.exclude_from_weight_decay(var_names=["bias", "scale"])
    optimizer.build(variables)
    for gradients in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients.values()])
    arrays = [keras.ops.convert_to_numpy(variable) for variable in variables]
    return {name: array.flatten().tolist() for name, array in zip(PARAMS, arrays, strict=True)}


def grouped(params: dict[str, Any], decay: float, decayed: tuple[str, ...] = ("kernel",)) -> list[dict[str, Any]]:
    """Groups of parameters, of which those with these names decay."""
    return [
        {"params": [param], "weight_decay": decay if name.split("/")[1] in decayed else 0.0}
        for name, param in params.items()
    ]


def optimizers() -> list[dict[str, Any]]:
    def case(by: str, optimizer: str, params: dict, steps: int = len(GRADIENTS), **settings: Any) -> dict[str, Any]:
        return {"by": by, "optimizer": optimizer, "settings": settings, "steps": steps, "params": params}

    adamw, sgd, muon = torch.optim.AdamW, torch.optim.SGD, torch.optim.Muon
    every = ("kernel", "bias", "scale")
    return [
        case("torch.optim.SGD", "sgd", with_torch(lambda p: sgd(grouped(p, 0.3), RATE)), weight_decay=0.3),
        case(
            "torch.optim.SGD",
            "momentum",
            with_torch(lambda p: sgd(grouped(p, 0.3), RATE, momentum=0.8, nesterov=True)),
            momentum=0.8,
            nesterov=True,
            weight_decay=0.3,
        ),
        case("torch.optim.Adam", "adam", with_torch(lambda p: torch.optim.Adam(p.values(), RATE))),
        case("torch.optim.AdamW", "adamw", with_torch(lambda p: adamw(grouped(p, 0.3), RATE)), weight_decay=0.3),
        case(
            "torch.optim.AdamW",
            "adamw",
            with_torch(lambda p: adamw(grouped(p, 0.3, every), RATE)),
            weight_decay=0.3,
            weight_decay_mask=["all"],
        ),
        case(
            "torch.optim.AdamW",
            "adamw",
            with_torch(lambda p: adamw(grouped(p, 0.3, ("bias", "scale")), RATE)),
            weight_decay=0.3,
            weight_decay_mask=["bias", "GroupNorm_0"],
        ),
        case(
            "keras.optimizers.Lion",
            "lion",
            with_keras(keras.optimizers.Lion(RATE, beta_1=0.9, beta_2=0.99, weight_decay=0.3)),
            weight_decay=0.3,
        ),
        case(
            "torch.optim.Muon, of kernels as matrices, in bfloat16",
            "muon",
            with_torch(
                lambda p: muon(p.values(), RATE, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"), 1, is_matrix=True
            ),
            steps=1,
            weight_decay=0.3,
        ),
    ]


def schedules() -> list[dict[str, Any]]:
    def of_torch(make: Callable) -> list[float]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
        scheduler, factors = make(optimizer), []
        for _ in range(STEPS):
            factors.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return [*factors, optimizer.param_groups[0]["lr"]]

    def of_keras(schedule: Any) -> list[float]:
        return [float(schedule(step)) for step in range(STEPS + 1)]

    rates, torch_rates = keras.optimizers.schedules, torch.optim.lr_scheduler
    # PyTorch counts the last step of a phase in, optax does not.
    up, peak = 0.4, 0.4 * STEPS
    onecycle = of_torch(
        lambda o: torch_rates.OneCycleLR(
            o, 1.0, total_steps=STEPS + 1, pct_start=(peak + 1) / (STEPS + 1), div_factor=10.0, final_div_factor=100.0
        )
    )
    warm = rates.CosineDecay(0.0, STEPS - 4, alpha=0.1, warmup_target=1.0, warmup_steps=4)
    return [
        {
            "by": "torch.optim.lr_scheduler.MultiStepLR",
            "schedule": "multistep",
            "settings": {"boundaries": [0.25, 0.6], "factor": 0.3},
            "factors": of_torch(lambda o: torch_rates.MultiStepLR(o, [5, 12], gamma=0.3)),
        },
        {
            "by": "torch.optim.lr_scheduler.OneCycleLR",
            "schedule": "onecycle",
            "settings": {"pct_start": up, "div_factor": 10.0, "final_div_factor": 100.0},
            "factors": onecycle,
        },
        {
            "by": "keras.optimizers.schedules.PolynomialDecay",
            "schedule": "polynomial",
            "settings": {"power": 2.0, "end": 0.1},
            "factors": of_keras(rates.PolynomialDecay(1.0, STEPS, end_learning_rate=0.1, power=2.0)),
        },
        {
            "by": "keras.optimizers.schedules.CosineDecay",
            "schedule": "cosine",
            "settings": {"end": 0.1},
            "warmup_steps": 4,
            "factors": of_keras(warm),
        },
    ]


def rounded(value: Any) -> Any:
    """The same with eight digits."""
    if isinstance(value, dict):
        return {name: rounded(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(member) for member in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


def main() -> None:
    content = {
        "made_by": f"PyTorch {torch.__version__}, Keras {keras.__version__}",
        "logits": LOGITS.tolist(),
        "labels": LABELS.tolist(),
        "partners": PARTNERS.tolist(),
        "weight": WEIGHT.tolist(),
        "losses": losses(),
        "shapes": SHAPES,
        "params": {name: array.flatten().tolist() for name, array in PARAMS.items()},
        "gradients": [{name: array.flatten().tolist() for name, array in step.items()} for step in GRADIENTS],
        "optimizers": optimizers(),
        "schedules": schedules(),
    }
    path = Path(__file__).with_name("training_reference.json")
    path.write_text(json.dumps(rounded(content)) + "\n")
    print(f"{path.name}: {path.stat().st_size:,} bytes, {content['made_by']}")


if __name__ == "__main__":
    main()
