"""One training step: the trainer against a plain implementation, from arrays to updated weights.

`PlainStep` does what the reference implementations do: images and maps travel as normalized
floats, all outputs are upsampled, losses are computed at full size. Both start from the same
weights, and their first losses have to agree. Dropout is off: its random draws would differ.

EfficientPS's step is compared with itself: the cost of a hundred instances and of one. So are the
steps of the small network and of ResNet-50 with two threads and with one, as Paddle chooses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarking.comparison import Comparison, DisagreementError, Implementation
from benchmarking.inputs import Size, annotated_sample
from benchmarking.processes import Call

CONFIGS = Path(__file__).parents[2] / "configs"
INSTANCES, FEW, MANY = 30, 1, 100
TOLERANCE = 1e-4
OWN_CHOICE = {"MKL_DEBUG_CPU_TYPE": "0"}  # MKL's default choice of kernels


class Recipe(NamedTuple):
    """What is trained: a configuration in `configs`, changes to it, and (height, width)."""

    config: str
    changes: tuple[str, ...]
    crop: Size


RESNET = Recipe(
    "panoptic_deeplab/panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005.yml",
    ("model.backbone.pretrained=null", "batch_size=1"),
    (513, 1025),
)
QUICK = Recipe(
    "demo/panoptic_deeplab_lite_scenes.yml",
    (
        "criterion.stride=1",
        "criterion.top_k_percent_pixels=0.2",
        "criterion.offset_weight=0.001",
        "criterion.class_weights=null",
    ),
    (65, 129),
)
TOP_DOWN = Recipe("efficientps/efficientps_b0_scenes.yml", (), (512, 1024))
QUICK_TOP_DOWN = TOP_DOWN._replace(crop=(64, 128))


def comparisons(folder: Path, quick: bool) -> Iterable[Comparison]:
    """ResNet-50, one image: against the reference as it runs, and with our choice of kernels.

    Then by threads, and EfficientPS with many instances and with one.
    """
    recipe = QUICK if quick else RESNET
    name = f"{'lite' if quick else 'ResNet-50'}, {recipe.crop[1]}x{recipe.crop[0]}, batch 1"
    ours = Implementation(partial(prepare_ours, recipe, folder))
    plain = partial(prepare_plain, recipe)
    yield Comparison(
        name,
        ours,
        Implementation(plain, OWN_CHOICE),
        "plain step, MKL's choice",
        goal=1.3,
        check=same_losses,
    )
    yield Comparison(
        name, ours, Implementation(plain), "plain step, MKL as ours", check=same_losses
    )
    for small_or_large, trained in (("lite", small_recipe(quick)), ("ResNet-50", recipe)):
        height, width = trained.crop
        prepare = partial(prepare_ours, trained, folder)
        yield Comparison(
            f"{small_or_large}, {width}x{height}, two threads",
            Implementation(prepare, {"OMP_NUM_THREADS": "2"}),
            Implementation(prepare, {"OMP_NUM_THREADS": "1"}),
            "one thread",
            check=same_losses,
        )
    recipe = QUICK_TOP_DOWN if quick else TOP_DOWN
    height, width = recipe.crop
    yield Comparison(
        f"EfficientPS B0, {width}x{height}, {MANY} instances",
        Implementation(partial(prepare_ours, recipe, folder, MANY)),
        Implementation(partial(prepare_ours, recipe, folder, FEW)),
        f"the same, {FEW} instance",
        goal_memory=None if quick else 1.1,
        note=f"{MANY} masks of a byte a pixel would be {MANY * height * width / 1e6:.0f} MB",
    )


def small_recipe(quick: bool) -> Recipe:
    """The demo's network, on crops as large as its own."""
    return QUICK if quick else QUICK._replace(crop=(192, 384))


def same_losses(ours: Mapping[str, float], plain: Mapping[str, float]) -> None:
    """Refuse losses that differ by more than one part in ten thousand."""
    for name, value in plain.items():
        if not math.isclose(ours[name], value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            raise DisagreementError(f"{name} is {ours[name]}, the plain step's is {value}")


def _configuration(recipe: Recipe):
    """The configuration, with the same initial weights each time."""
    import paddle
    from paddle import nn

    from panoptic_deeplab.config import Config

    paddle.seed(0)
    config = Config(str(CONFIGS / recipe.config), list(recipe.changes))
    for layer in config.model.sublayers():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    config.model.train()
    return config


def prepare_ours(recipe: Recipe, folder: Path, instances: int = INSTANCES) -> Call:
    """The trainer's step on a batch as its loader returns it."""
    import paddle

    from panoptic_deeplab.engine.loading import collate
    from panoptic_deeplab.engine.plan import TrainingPlan
    from panoptic_deeplab.engine.trainer import Trainer

    config = _configuration(recipe)
    trainer = Trainer(
        model=config.model,
        criterion=config.criterion,
        preprocess=config.preprocess,
        optimizer=config.optimizer,
        schedule=config.lr_scheduler,
        dataset=None,
        targets=config.targets,
        postprocessor=None,
        info=config.info,
        config_yaml="",
        plan=TrainingPlan(iters=1_000_000, batch_size=1, save_dir=folder),
    )
    network = trainer._network()
    sample = config.targets(annotated_sample(recipe.crop, instances))
    box = np.array(sample["frame"].valid_box, np.int32)
    arrays = {name: value for name, value in sample.items() if isinstance(value, np.ndarray)}
    batch = collate([arrays | {"valid_box": box}])

    def run() -> dict[str, float]:
        tensors = {name: paddle.to_tensor(value) for name, value in batch.items()}
        losses, _ = trainer._step(network, [tensors], ["made up"])
        return {name: float(value) for name, value in losses.items()}

    return run


def prepare_plain(recipe: Recipe) -> Call:
    """The reference's step."""
    config = _configuration(recipe)
    sample = config.targets(annotated_sample(recipe.crop, INSTANCES))
    image = (sample["image"].astype(np.float32) / 255 - 0.5) / 0.5
    batch = {
        "image": image.transpose(2, 0, 1),
        "semantic": sample["semantic"].astype(np.int64),
        **{name: sample[name].astype(np.float32) for name in _FLOAT_MAPS},
    }
    step = PlainStep(config.model, config.optimizer, config.criterion.align_corners)
    return partial(step, {name: value[None] for name, value in batch.items()})


_FLOAT_MAPS = ("center", "offset", "semantic_weights", "center_weights", "offset_weights")


class PlainStep:
    """Forward, losses at full size, backward, update."""

    def __init__(self, model: Any, optimizer: Any, align_corners: bool) -> None:
        self.model = model
        self.align_corners = align_corners
        self.optimizer = optimizer

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
        import paddle
        import paddle.nn.functional as F

        maps = {name: paddle.to_tensor(value) for name, value in batch.items()}
        size = batch["image"].shape[-2:]
        outputs = {
            name: F.interpolate(value, size, mode="bilinear", align_corners=self.align_corners)
            for name, value in self.model(maps["image"]).items()
        }
        losses = {
            "semantic_loss": _hardest_fifth(outputs["semantic"], maps),
            "center_loss": 200
            * _mean_under(
                (outputs["center"] - maps["center"].unsqueeze(1)) ** 2, maps["center_weights"]
            ),
            "offset_loss": 0.001
            * _mean_under((outputs["offset"] - maps["offset"]).abs(), maps["offset_weights"]),
        }
        sum(losses.values()).backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        return {name: float(loss) for name, loss in losses.items()}


def _hardest_fifth(logits: Any, maps: Mapping[str, Any]) -> Any:
    """Mean of the largest 20 % of the cross entropies of all pixels."""
    import paddle.nn.functional as F

    losses = F.cross_entropy(
        logits, maps["semantic"].unsqueeze(1), ignore_index=255, reduction="none", axis=1
    )
    losses = (losses.squeeze(1) * maps["semantic_weights"]).flatten()
    return losses.topk(int(0.2 * losses.shape[0]))[0].mean()


def _mean_under(errors: Any, weights: Any) -> Any:
    weights = weights.unsqueeze(1).expand_as(errors)
    return (errors * weights).sum() / weights.sum()
