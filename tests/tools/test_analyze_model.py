"""The counts of tools/analyze_model.py, worked by hand on small networks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import paddle
import pytest
from analyze_model import (
    GIBIBYTE,
    Analysis,
    Part,
    analyze_config,
    count_multiply_adds,
    count_weights,
    counted_size,
    find_parts,
    main,
)
from paddle import nn

from panoptic_deeplab.config import Config

ROOT = Path(__file__).parents[2]


class Product(nn.Layer):
    """The products of attention: [4, 6] by [6, 4], then [4, 4] by [4, 6]."""

    def __init__(self, product: Callable[..., paddle.Tensor]) -> None:
        super().__init__()
        self.product = product

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        x = images.reshape([-1])[:24].reshape([4, 6])
        return self.product(self.product(x, x.transpose([1, 0])), x)


LAYERS = {
    # 3 x 3 kernel, 3 -> 8 channels, on 8 x 10 pixels
    "conv": (nn.Conv2D(3, 8, 3, padding=1), 3 * 3 * 3 * 8 * 8 * 10),
    # every second pixel: 4 x 5 outputs
    "strided": (nn.Conv2D(3, 8, 3, stride=2, padding=1), 3 * 3 * 3 * 8 * 4 * 5),
    # each channel for itself
    "depthwise": (nn.Conv2D(3, 3, 5, padding=2, groups=3), 5 * 5 * 3 * 8 * 10),
    # each of 8 x 10 x 3 inputs goes to 2 x 2 x 4 outputs
    "transposed": (nn.Conv2DTranspose(3, 4, 2, stride=2), 8 * 10 * 3 * 2 * 2 * 4),
    # rows of 10 values become rows of 7
    "linear": (nn.Linear(10, 7), 3 * 8 * 10 * 7),
    "matmul": (Product(lambda x, y: paddle.matmul(x, y)), 4 * 6 * 4 + 4 * 4 * 6),
    "mm": (Product(lambda x, y: paddle.mm(x, y)), 4 * 6 * 4 + 4 * 4 * 6),
    "operator": (Product(lambda x, y: x @ y), 4 * 6 * 4 + 4 * 4 * 6),
    "pooling": (nn.AdaptiveAvgPool2D(1), 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_multiply_adds_of_one_layer(name: str) -> None:
    layer, expected = LAYERS[name]
    model = nn.Sequential(layer)
    assert count_multiply_adds(model, {"layer": layer}, (8, 10)) == {
        "layer": expected,
        "elsewhere": 0,
    }


def test_a_transposed_product_counts_the_summed_axis() -> None:
    """[6, 4] transposed by [6, 5] has 4 x 5 sums over 6."""
    left, right = paddle.rand([6, 4]), paddle.rand([6, 5])

    class Transposed(nn.Layer):
        def forward(self, images: paddle.Tensor) -> paddle.Tensor:
            return paddle.matmul(left, right, transpose_x=True)

    assert count_multiply_adds(Transposed(), {}, (8, 8)) == {"elsewhere": 4 * 5 * 6}


def test_nothing_stays_hooked() -> None:
    product, layer = paddle.matmul, nn.Conv2D(3, 4, 1)
    model = nn.Sequential(layer)
    counts = [count_multiply_adds(model, {"layer": layer}, (8, 8)) for _ in range(2)]
    assert counts[0] == counts[1]
    assert paddle.matmul is product


def test_weights_and_running_statistics() -> None:
    """3 x 3 x 3 x 8 + 8 of the convolution, scale and shift; mean and variance are not weights."""
    part = count_weights("part", nn.Sequential(nn.Conv2D(3, 8, 3), nn.BatchNorm2D(8)))
    assert part == Part("part", parameters=216 + 8 + 8 + 8, buffers=8 + 8)


def test_memory_and_batches_by_hand() -> None:
    """2**26 weights take a GiB with gradients and moments; an image another, or half of it."""
    half = GIBIBYTE // 2
    parts = [
        Part("backbone", parameters=2**26, kept_bytes=half - 100, output_bytes=50),
        Part("head", kept_bytes=half, output_bytes=50),
        Part("losses", kept_bytes=100),
    ]
    analysis = Analysis("made up", (64, 64), (32, 32), parts)
    assert parts[0].fixed_bytes == analysis.total.fixed_bytes == GIBIBYTE
    assert analysis.total.kept_bytes == GIBIBYTE
    assert analysis.recomputed_image_bytes == half + 50 + 50 + 100
    assert [analysis.largest_batch(card) for card in (1, 8)] == [0, 5]  # of 0.8 * 8 = 6.4 GiB
    assert analysis.largest_batch(8, recompute=True) == 10


@pytest.mark.parametrize(
    ("crop", "expected"),
    [((513, 1025), (257, 513)), ((1025, 2049), (257, 513)), ((512, 1024), (256, 512))],
)
def test_large_crops_are_counted_small(crop: tuple[int, int], expected: tuple[int, int]) -> None:
    assert counted_size(crop) == expected


def test_parts_of_panoptic_deeplab_have_the_published_size() -> None:
    """The reference's model has 55,396,390 values in its state dict."""
    (path,) = (ROOT / "configs").rglob("*resnet50_os32_cityscapes_1025x513_bs8*")
    parts = find_parts(Config(path).model)
    assert list(parts) == [
        "backbone",
        "head.semantic_decoder",
        "head.semantic_head",
        "head.instance_decoder",
        "head.instance_head",
    ]
    counts = [count_weights(name, layer) for name, layer in parts.items()]
    assert sum(part.parameters + part.buffers for part in counts) == 55_396_390


def test_twice_the_channels_and_the_pixels_keep_more(tiny_config: Path) -> None:
    """Kept tensors are for the crop, 64 x 128, not for the image."""
    small, large = (
        analyze_config(Config(tiny_config, [f"train_dataset.transforms.0.crop_size={size}"]))
        for size in ("[64, 64]", "[128, 64]")
    )
    assert small.total.multiply_adds == large.total.multiply_adds
    assert small.crop == (64, 64)
    assert large.total.kept_bytes == pytest.approx(2 * small.total.kept_bytes, rel=0.02)


def test_command_line(tiny_config: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    size = ["--height", "64", "--width", "96"]
    assert main(["--config", str(tiny_config), *size, *files]) == 0
    printed = capfd.readouterr().out
    assert "image 96 x 64, training crop 128 x 64" in printed
    _, heads, *lines = filter(None, printed.splitlines())
    assert heads.endswith("MiB of weights   MiB per image")
    *parts, (last, *totals) = [line.split() for line in lines]
    assert last == "total"
    for column, total in zip((-2, -1), totals[-2:], strict=True):
        added = sum(float(part[column]) for part in parts)
        assert added == pytest.approx(float(total), abs=0.05 * (len(parts) + 1))
    (analysis,) = json.loads((tmp_path / "a.json").read_text())
    assert analysis["parts"][0]["name"] == "encoder"
    assert (tmp_path / "a.md").read_text().count("| `tiny` |") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "nowhere.yml"], "nowhere.yml: no such configuration file"),
        (["--config", "x.yml", "--height", "64"], "go together"),
        (["--config", "x.yml", "--height", "64", "--width", "0"], "at least 32"),
    ],
)
def test_bad_input_is_reported_in_one_line(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture
) -> None:
    assert main(arguments) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert said in lines[0]


def test_help_needs_no_paddle() -> None:
    code = "import sys; sys.modules['paddle'] = None; import analyze_model as a; a.main(['-h'])"
    folders = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tools')!r}]; "
    done = subprocess.run([sys.executable, "-c", folders + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--markdown" in done.stdout
