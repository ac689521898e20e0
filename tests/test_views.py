"""Test-time augmentation: what a view shows, the way back, and what is merged."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from PIL import Image

from panoptic_deeplab.cli import predict, val
from panoptic_deeplab.config import Config
from panoptic_deeplab.engine.predictor import Predictor
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.postprocess import CenterGrouping
from panoptic_deeplab.preprocess import Preprocess
from panoptic_deeplab.structures import Category, DatasetInfo, Frame, Prediction
from panoptic_deeplab.views import Augmentation, View

INFO = DatasetInfo(
    "street",
    tuple(Category(n, n != "sky", (i, i, i), i) for i, n in enumerate(("sky", "car", "bus"))),
)


def tensor(rows: list[list[float]]) -> paddle.Tensor:
    return paddle.to_tensor(np.array(rows, np.float32)[None, None])


# --- one view, by hand ---


def test_a_mirrored_view_has_its_padding_at_the_right_again() -> None:
    """Three columns in four: the image is mirrored, the padding (8) is not."""
    view = View.of(Frame((1, 3), (1, 4), (1.0, 1.0), (0, 0, 1, 3)), mirrored=True)
    assert view.show(tensor([[1, 2, 3, 8]])).numpy().tolist() == [[[[3, 2, 1, 0]]]]
    assert view.invert(tensor([[30, 20, 10, 99]])).numpy().tolist() == [[[[10, 20, 30, 0]]]]


def test_scaling_by_two_puts_a_point_between_any_two() -> None:
    view = View.of(Frame.whole(1, 3), 2.0)
    assert (view.shown_size, view.size) == ((1, 5), (1, 35))  # 35 = 3 + 32
    shown = view.show(tensor([[0, 2, 6]]))
    assert shown.numpy()[0, 0, 0, :6].tolist() == [0, 1, 2, 4, 6, 0]
    assert view.invert(shown).numpy().tolist() == [[[[0, 2, 6]]]]


def test_a_box_inside_the_input_comes_back_to_its_place() -> None:
    view = View.of(Frame((1, 2), (3, 4), (1.0, 1.0), (1, 1, 2, 3)), mirrored=True)
    shown = view.show(paddle.arange(12, dtype="float32").reshape([1, 1, 3, 4]))
    assert shown.numpy()[0, 0].tolist() == [[6, 5, 0, 0], [0] * 4, [0] * 4]
    assert view.invert(shown).numpy()[0, 0].tolist() == [[0] * 4, [0, 5, 6, 0], [0] * 4]


@pytest.mark.parametrize(("mirrored", "expected"), [(False, [2, 3]), (True, [2, -3])])
def test_vectors_rescale_and_their_x_changes_sign(mirrored: bool, expected: list[float]) -> None:
    view = View.of(Frame.whole(2, 3), 2.0, mirrored)
    seen = paddle.to_tensor([4.0, 6.0]).reshape([1, 2, 1, 1]).expand([1, 2, *view.size])
    turned = view.invert_vectors(seen).numpy()
    assert turned.shape == (1, 2, 2, 3)
    assert (turned == np.reshape(expected, (1, 2, 1, 1))).all()


SIZES = {
    # scale, input, valid -> image in the view, view with padding
    "Cityscapes padded by one": (0.5, (1025, 2049), (1024, 2048), (512, 1024), (513, 1025)),
    "Cityscapes, larger": (2.0, (1025, 2049), (1024, 2048), (2047, 4095), (2049, 4097)),
    "32 n stays 32 n": (0.5, (192, 384), (192, 384), (96, 192), (96, 192)),
    "32 n, larger": (2.0, (192, 384), (192, 384), (383, 767), (384, 768)),
    "32 n + 1 stays 32 n + 1": (0.75, (513, 1025), (512, 1024), (384, 768), (385, 769)),
    "what is scaled is never a single point": (0.1, (8, 8), (8, 8), (2, 2), (8, 8)),
    "unless it was": (2.0, (1, 8), (1, 8), (1, 15), (1, 40)),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_of_views(case: str) -> None:
    scale, size, valid, shown, padded = SIZES[case]
    view = View.of(Frame(valid, size, (1.0, 1.0), (0, 0, *valid)), scale)
    assert (view.shown_size, view.size) == (shown, padded)


def test_the_view_of_scale_one_is_the_input() -> None:
    image = paddle.rand([1, 3, 9, 14])
    image[:, :, 7:] = 0
    view = View.of(Frame((7, 14), (9, 14), (1.0, 1.0), (0, 0, 7, 14)))
    assert (view.show(image) == image).all()
    assert (view.invert(image) == image).all()


# --- a network whose outputs turn and scale with the image, by construction ---

SKY, CAR, BUS = 0, 1, 2
CODES = {53: CAR, 101: CAR, 149: BUS}
"""Red value of each instance -> class; all others, blends among them, are sky (250)."""


class ColorNetwork(paddle.nn.Layer):
    """Knows each instance by its color and points from each of its pixels to their mean.

    It sees nothing but the colors, so that of a mirrored image it says exactly the mirror, and
    of one with points in between exactly the same at the old points. Its outputs are taken at
    `stride`: the pixels at its multiples (as strided convolutions see with align_corners, where
    the size is a multiple plus one), or the mean of each cell (without align_corners).
    """

    def __init__(self, stride: int = 1, align_corners: bool = True) -> None:
        super().__init__()
        self.stride = stride
        self.align_corners = align_corners

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        codes = images[0, 0].numpy() * 255
        semantic = np.zeros((3, *codes.shape), np.float32)
        semantic[SKY] = 4
        heatmap = np.zeros((1, *codes.shape), np.float32)
        offsets = np.zeros((2, *codes.shape), np.float32)
        for code, category in CODES.items():
            rows, columns = np.nonzero(np.abs(codes - code) < 1e-3)
            if len(rows) == 0:
                continue
            semantic[category, rows, columns] = 9
            to_mean = np.stack([rows.mean() - rows, columns.mean() - columns])
            offsets[:, rows, columns] = to_mean
            extent = np.abs(to_mean).max(axis=1, keepdims=True) + 1e-9
            heatmap[0, rows, columns] = 1 - 0.4 * ((to_mean / extent) ** 2).sum(axis=0)
        outputs = {"semantic": semantic, "center": heatmap, "offset": offsets}
        return {
            name: self.at_stride(paddle.to_tensor(value[None])) for name, value in outputs.items()
        }

    def at_stride(self, maps: paddle.Tensor) -> paddle.Tensor:
        if self.align_corners:
            return maps[:, :, :: self.stride, :: self.stride]
        return F.avg_pool2d(maps, self.stride) if self.stride > 1 else maps


def street(height: int, width: int) -> np.ndarray:
    """Two touching cars over a bus, far from symmetric. [H, W, 3] uint8."""
    image = np.full((height, width, 3), 250, np.uint8)
    image[4:9, 4:13] = 53
    image[4:9, 13:18] = 101
    image[12:21, 2:11] = 149
    return image


def padded(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, Frame]:
    """The image at the top left of `size`, with noise around it that nobody may see."""
    height, width = image.shape[:2]
    canvas = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    canvas[:height, :width] = image
    return canvas, Frame((height, width), size, (1.0, 1.0), (0, 0, height, width))


def outputs_and_prediction(
    network: ColorNetwork, image: np.ndarray, frame: Frame, augmentation: Augmentation | None
) -> tuple[dict[str, np.ndarray], Prediction]:
    """The outputs at the input's size inside the valid box, and what is made of them."""
    grouping = CenterGrouping(
        3, (CAR, BUS), min_stuff_area=1, nms_kernel=5, align_corners=network.align_corners
    )
    predictor = Predictor(network, Preprocess((0.0,), (1.0,)), (), grouping, INFO, augmentation)
    outputs = predictor.outputs(image[None], [frame])
    (prediction,) = predictor.group(outputs, [frame])
    full = outputs if augmentation else grouping.merge_views([outputs], [View.of(frame)])
    top, left, bottom, right = frame.valid_box
    seen = {name: value.numpy()[0, :, top:bottom, left:right] for name, value in full.items()}
    return seen, prediction


FLIP = Augmentation(flip_horizontal=True)
GEOMETRIES = {
    # stride, align_corners, image, input
    "a pixel a cell": (1, True, (24, 30), (24, 30)),
    "odd": (1, True, (25, 31), (25, 31)),
    "padded by one column and row": (1, True, (24, 30), (25, 31)),
    "padded far": (1, False, (23, 31), (40, 64)),
    "stride 4, size 4 n + 1": (4, True, (25, 33), (25, 33)),
    "stride 4, 4 n + 1 in 4 m + 1": (4, True, (25, 33), (33, 65)),
    "stride 2 without align_corners, even": (2, False, (24, 30), (24, 30)),
    "stride 2 without align_corners, padded": (2, False, (24, 30), (32, 64)),
}


def assert_merging_changes_nothing(
    network: ColorNetwork, image: np.ndarray, frame: Frame, augmentation: Augmentation
) -> None:
    plain, alone = outputs_and_prediction(network, image, frame, None)
    merged, together = outputs_and_prediction(network, image, frame, augmentation)
    for name in ("semantic", "offset"):
        np.testing.assert_allclose(merged[name], plain[name], atol=2e-5, err_msg=name)
    assert len(alone.segments) == 4  # the sky, two cars, a bus
    np.testing.assert_array_equal(together.ids, alone.ids)
    np.testing.assert_array_equal(together.labels, alone.labels)
    for first, second in zip(together.segments, alone.segments, strict=True):
        assert replace(first, score=None) == replace(second, score=None)


@pytest.mark.parametrize("case", GEOMETRIES)
def test_mirroring_changes_nothing_for_an_equivariant_network(case: str) -> None:
    stride, align_corners, size, input_size = GEOMETRIES[case]
    image, frame = padded(street(*size), input_size)
    assert_merging_changes_nothing(ColorNetwork(stride, align_corners), image, frame, FLIP)


@pytest.mark.parametrize("case", [name for name in GEOMETRIES if GEOMETRIES[name][0] == 1])
@pytest.mark.parametrize("scales", [(2.0,), (3.0,), (1.0, 2.0, 4.0)])
def test_whole_scales_change_nothing_for_an_equivariant_network(
    case: str, scales: tuple[float, ...]
) -> None:
    _, align_corners, size, input_size = GEOMETRIES[case]
    image, frame = padded(street(*size), input_size)
    augmentation = Augmentation(scales, flip_horizontal=True)
    assert_merging_changes_nothing(ColorNetwork(1, align_corners), image, frame, augmentation)


class MirrorWithPadding(View):
    """The padding is mirrored to the left, the inverse is cut at the left all the same."""

    def show(self, images: paddle.Tensor) -> paddle.Tensor:
        return paddle.flip(images, axis=[3]) if self.mirrored else images


class MistakenAugmentation(Augmentation):
    def views(self, frame: Frame) -> list[View]:
        return [MirrorWithPadding(**vars(view)) for view in super().views(frame)]


def test_the_old_mistake_would_be_found() -> None:
    """One padded column is enough to shift the mirrored outputs by one."""
    image, frame = padded(street(24, 30), (24, 31))
    mistaken = MistakenAugmentation(flip_horizontal=True)
    assert_merging_changes_nothing(ColorNetwork(), image, frame, FLIP)
    with pytest.raises(AssertionError, match="semantic"):
        assert_merging_changes_nothing(ColorNetwork(), image, frame, mistaken)


def test_views_of_a_batch_equal_those_of_its_images() -> None:
    """Two images of different sizes in inputs of the same size."""
    images = [padded(street(24, 30), (32, 40)), padded(street(28, 37), (32, 40))]
    grouping = CenterGrouping(3, (CAR, BUS), min_stuff_area=1, nms_kernel=5)
    views = Augmentation((1.0, 1.5), flip_horizontal=True)
    predictor = Predictor(ColorNetwork(), Preprocess((0.0,), (1.0,)), (), grouping, INFO, views)
    images, frames = zip(*images, strict=True)
    together = predictor.predict_batch(np.stack(images), frames)
    for prediction, image, frame in zip(together, images, frames, strict=True):
        (alone,) = predictor.predict_batch(image[None], [frame])
        np.testing.assert_array_equal(prediction.ids, alone.ids)
        assert prediction.segments == alone.segments


# --- merging ---


def test_probabilities_heat_and_vectors_are_averaged() -> None:
    """0.9 and 0.4 for the first class are 0.65; the mirrored view's x counts with its sign."""
    frame = Frame.whole(1, 1)
    outputs = [
        {
            "semantic": paddle.log(paddle.to_tensor([probability, 1 - probability])).reshape(
                [1, 2, 1, 1]
            ),
            "center": paddle.full([1, 1, 1, 1], heatmap),
            "offset": paddle.to_tensor(vector).reshape([1, 2, 1, 1]),
        }
        for probability, heatmap, vector in ((0.9, 0.5, [1.0, 2.0]), (0.4, 0.1, [3.0, 2.0]))
    ]
    views = [View.of(frame), View.of(frame, mirrored=True)]
    merged = CenterGrouping(2, (1,)).merge_views(outputs, views)
    probability = F.softmax(merged["semantic"], axis=1).numpy().ravel()
    np.testing.assert_allclose(probability, [0.65, 0.35], rtol=1e-6)
    np.testing.assert_allclose(merged["center"].item(), 0.3, rtol=1e-6)
    assert merged["offset"].numpy().ravel().tolist() == [2.0, 0.0]


def test_debug_images_are_heat_and_vectors_of_the_first_image() -> None:
    outputs = {
        "semantic": paddle.rand([2, 3, 4, 5]),
        "center": paddle.rand([2, 1, 4, 5]),
        "offset": paddle.rand([2, 2, 4, 5]),
    }
    images = CenterGrouping(3, (1,)).debug_images(outputs)
    assert list(images) == ["center", "offset"]
    np.testing.assert_array_equal(images["center"], outputs["center"].numpy()[0, 0])
    np.testing.assert_array_equal(images["offset"], outputs["offset"].numpy()[0])


# --- the command line ---


@pytest.fixture
def weights(tiny_config: Path, tmp_path: Path) -> Path:
    """Weights of a network that has learnt nothing."""
    paddle.seed(0)
    path = tmp_path / "weights" / "model.pdparams"
    paddle.save(Config(tiny_config).model.state_dict(), str(path))
    return path


def evaluate(config: Path, weights: Path, result: Path, *flags: str) -> dict[str, object]:
    common = ["--config", str(config), "--device", "cpu", "--model_path", str(weights)]
    assert val.main([*common, "--json", str(result), *flags]) == 0
    return json.loads(result.read_text())


def test_evaluation_with_one_view_is_evaluation(
    tiny_config: Path, weights: Path, tmp_path: Path
) -> None:
    plain = evaluate(tiny_config, weights, tmp_path / "a.json")
    one_view = evaluate(tiny_config, weights, tmp_path / "b.json", "--aug_eval")
    assert one_view["All"] == plain["All"]
    assert one_view["miou"] == plain["miou"]


def test_evaluation_and_prediction_take_views(
    tiny_config: Path,
    weights: Path,
    scenes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--aug_eval", "--scales", "0.5", "1.0", "2.0", "--flip_horizontal"]
    assert "All" in evaluate(tiny_config, weights, tmp_path / "a.json", *flags)
    assert "scales 0.5, 1, 2, each also mirrored" in capsys.readouterr().out
    image = next((scenes / "leftImg8bit" / "val").rglob("*.png"))
    common = ["--config", str(tiny_config), "--device", "cpu", "--model_path", str(weights)]
    paths = ["--image_path", str(image), "--save_dir", str(tmp_path / "results")]
    assert predict.main([*common, *paths, *flags]) == 0
    with Image.open(tmp_path / "results" / "panoptic" / f"{image.stem}.png") as ids:
        assert ids.size == (128, 64)


@pytest.mark.parametrize("script", [val, predict])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--scales", "2"], "do nothing without --aug_eval"),
        (["--flip_horizontal"], "do nothing without --aug_eval"),
        (["--aug_eval", "--scales", "1", "0"], "must be factors in 0.1..10, got 1 0"),
        (["--aug_eval", "--scales", "-1"], "got -1"),
        (["--aug_eval", "--scales", "nan"], "got nan"),
        (["--aug_eval", "--scales", "1000"], "got 1000"),
        (["--aug_eval", "--scales", "1", "2", "1.0"], "--scales must differ, got 1 2 1"),
    ],
)
def test_wrong_views_are_refused_in_one_line(
    script: object,
    flags: list[str],
    message: str,
    tiny_config: Path,
    scenes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = ["--config", str(tiny_config), "--device", "cpu", "--model_path", "none"]
    if script is predict:
        common += ["--image_path", str(scenes), "--save_dir", str(tmp_path / "results")]
    assert script.main([*common, *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --scales")
    assert message in error
    assert error.count("\n") == 1


def test_no_scale_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one scale"):
        Augmentation(())
    with pytest.raises(UsageError, match="got inf"):
        Augmentation((math.inf,))


class Ungrouped:
    """A method that cannot merge views."""

    def __call__(self, outputs: object, frames: object) -> list[Prediction]:
        return []


def test_a_method_without_merging_refuses_by_name() -> None:
    with pytest.raises(UsageError, match=r"^Ungrouped cannot merge views; leave out --aug_eval$"):
        Predictor(ColorNetwork(), Preprocess(), (), Ungrouped(), INFO, FLIP)
