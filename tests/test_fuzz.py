"""Broken files of any make: read, or refused in one line; no other error and no hang.

A few examples a reader, always the same; `FUZZ_EXAMPLES=2000 python -m pytest tests/test_fuzz.py`
tries as many others.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import safetensors.numpy
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from panoptic_deeplab.config import Config
from panoptic_deeplab.config.files import merge, read_layers
from panoptic_deeplab.config.upgrade import upgrade
from panoptic_deeplab.datasets import CityscapesPanoptic
from panoptic_deeplab.errors import UserError
from panoptic_deeplab.evaluation import evaluate_panoptic_files
from panoptic_deeplab.formats import bdd100k, kitti
from panoptic_deeplab.formats.bdd100k import painted_annotation, read_bitmask
from panoptic_deeplab.formats.cityscapes import (
    CITYSCAPES,
    panoptic_of_instance_ids,
    read_instance_ids,
)
from panoptic_deeplab.formats.coco import read_boxes, read_info, read_panoptic_file
from panoptic_deeplab.formats.coco_instances import instance_mask, read_instances
from panoptic_deeplab.formats.images import (
    ids_to_rgb,
    read_ids,
    read_image,
    read_label_map,
    read_mask,
    write_ids,
)
from panoptic_deeplab.formats.labelme import read_labelme, shape_mask
from panoptic_deeplab.formats.masks import encode_rle
from panoptic_deeplab.formats.prediction_files import CocoPredictions
from panoptic_deeplab.formats.scalabel import read_frames
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.weights import read_weights

ROOT = Path(__file__).parents[1]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))

pytestmark = pytest.mark.timeout(max(120, EXAMPLES))
fuzz = settings(
    max_examples=EXAMPLES or 50,
    derandomize=not EXAMPLES,
    database=None,
    deadline=timedelta(seconds=10),
    suppress_health_check=list(HealthCheck),
)


def only_refuses(read: Callable[[], Any]) -> Any:
    """What `read` returns, or None where it refuses as it should."""
    try:
        return read()
    except UserError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 2000
    return None


NUMBERS = st.sampled_from([0, 1, -1, 2, 3, 7, 255, 256, 1 << 24, 1 << 31, -(1 << 63), 10**30]) | (
    st.sampled_from([0.5, -0.5, 1e-9, 1e308, float("inf"), float("-inf"), float("nan")])
)
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["type", "a\nb", "\0", "\x1b[31m", "../x", "/", "é", "1e3", "PanopticQuality", "SGD", "Resize"]
)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
ENTRY_KEYS = st.sampled_from(
    ["type", "id", "name", "categories", "pretrained", "_base_", "_inherited_", "transforms"]
)


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a tree."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in entries:
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from places(value)


@st.composite
def spoiled(draw: st.DrawFn, trees: list[Any]) -> Any:
    """One of the trees with up to three entries replaced, removed, repeated, renamed or added."""
    tree = copy.deepcopy(draw(st.sampled_from(trees)))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(tree))
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        change = draw(st.sampled_from(["replace", "number", "remove", "repeat", "rename", "add"]))
        if change in ("replace", "number"):
            container[key] = draw(VALUES if change == "replace" else NUMBERS)
        elif change == "remove":
            del container[key]
        elif isinstance(container, list):
            container.append(container[key] if change == "repeat" else draw(VALUES))
        elif change == "rename":
            container[draw(TEXTS)] = container.pop(key)
        else:
            container[draw(ENTRY_KEYS)] = draw(VALUES)
    return tree


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """One of the files with bytes changed, inserted, removed or cut off, or of two files joined."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        change = draw(st.sampled_from(["flip", "insert", "remove", "cut", "extreme", "join"]))
        if change == "flip" and place < len(content):
            content[place] ^= draw(st.integers(1, 255))
        elif change == "insert":
            content[place:place] = draw(st.binary(max_size=16))
        elif change == "remove":
            del content[place : place + draw(st.integers(1, 16))]
        elif change == "cut":
            del content[place:]
        elif change == "extreme":
            number = draw(
                st.sampled_from([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4, b"\xff" * 8])
            )
            content[place : place + len(number)] = number
        elif change == "join":
            content[place:] = draw(st.sampled_from(files))[place:]
    return bytes(content)


CONFIG_FILES = sorted((ROOT / "configs").rglob("*.yml"))
OLD_TREES = [merge(read_layers(path)) for path in CONFIG_FILES]
CONFIG_TREES = OLD_TREES + [upgrade(tree, "file") for tree in OLD_TREES]
CONFIG_TEXTS = [yaml.safe_dump(tree).encode() for tree in CONFIG_TREES]
PARTS = (
    "info",
    "preprocess",
    "targets",
    "criterion",
    "postprocessor",
    "evaluators",
    "val_transforms",
    "lr_scheduler",
    "pretrained",
    "val_dataset",
)


def build_all(path: Path, opts: list[str]) -> None:
    config = only_refuses(lambda: Config(path, opts))
    for part in PARTS if config else ():
        only_refuses(lambda part=part: getattr(config, part))
    if config:
        assert yaml.safe_load(config.to_yaml()) is not None


@st.composite
def overrides(draw: st.DrawFn) -> str:
    """A change for --opts, mostly of a key that there is."""
    tree, keys = draw(st.sampled_from(CONFIG_TREES)), []
    while isinstance(tree, (dict, list)) and tree and (not keys or draw(st.booleans())):
        key = draw(st.sampled_from(list(tree) if isinstance(tree, dict) else range(len(tree))))
        keys.append(str(key))
        tree = tree[key]
    value = draw(VALUES.map(lambda value: yaml.safe_dump(value)) | TEXTS)
    return f"{'.'.join(keys)}={value}" if draw(st.integers(0, 9)) else draw(TEXTS)


@fuzz
@given(tree=spoiled(CONFIG_TREES) | VALUES, opts=st.lists(overrides(), max_size=2))
def test_configurations(
    tmp_path_factory: pytest.TempPathFactory, tree: Any, opts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), "utf-8")
    build_all(path, opts)


@fuzz
@given(content=damaged(CONFIG_TEXTS) | st.binary(max_size=64))
def test_configuration_texts(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yml"
    path.write_bytes(content)
    build_all(path, [])


@fuzz
@given(
    content=spoiled([CITYSCAPES.to_dict(), {"categories": CITYSCAPES.to_dict()["categories"][:1]}])
    | VALUES
)
def test_dataset_infos(content: Any) -> None:
    info = only_refuses(lambda: DatasetInfo.from_dict(content))
    if info:
        assert only_refuses(lambda: DatasetInfo.from_dict(info.to_dict())) == info
        assert info.colors.shape == (info.num_classes, 3)


IDS = np.array([[0, 1, 1, 1], [2, 2, 70000, 70000]], np.int32)
ANNOTATIONS = {
    "images": [{"id": "a", "file_name": "a.png", "width": 4, "height": 2}],
    "annotations": [
        {
            "image_id": "a",
            "file_name": "a.png",
            "segments_info": [
                {"id": 1, "category_id": 0, "area": 3, "bbox": [1, 0, 3, 1], "iscrowd": 0},
                {"id": 2, "category_id": 11, "area": 2, "bbox": [0, 1, 2, 1], "iscrowd": 0},
                {"id": 70000, "category_id": 13, "area": 2, "bbox": [2, 1, 2, 1], "iscrowd": 1},
            ],
        }
    ],
    "categories": CITYSCAPES.to_dict()["categories"][:2],
}


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


RGB = Image.fromarray(np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3))
EXIF = Image.Exif()
EXIF[0x0112] = 6
IMAGES = [
    encoded(RGB, "PNG"),
    encoded(RGB, "PNG", exif=EXIF),
    encoded(RGB.quantize(8), "PNG", transparency=0),
    encoded(RGB.convert("I").convert("I;16"), "PNG"),
    encoded(RGB.convert("LA"), "PNG"),
    encoded(RGB, "JPEG", exif=EXIF),
    encoded(RGB.convert("CMYK"), "JPEG", progressive=True),
    encoded(RGB, "TIFF", exif=EXIF),
    encoded(RGB.convert("F"), "TIFF", compression="tiff_lzw"),
    encoded(RGB, "TIFF", compression="jpeg"),
    encoded(RGB.convert("1"), "TIFF", compression="group4"),
    encoded(RGB, "BMP"),
    encoded(RGB, "WEBP", exif=EXIF),
    encoded(RGB, "PPM"),
    encoded(RGB, "GIF"),
]


@pytest.fixture(scope="module")
def cityscapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one image."""
    root = tmp_path_factory.mktemp("fuzz") / "root"
    (root / "leftImg8bit" / "val").mkdir(parents=True)
    Image.new("RGB", (4, 2)).save(root / "leftImg8bit" / "val" / "a_leftImg8bit.png")
    write_ids(root / "gtFine" / "cityscapes_panoptic_val_trainId" / "a.png", IDS)
    return root


def read_dataset(root: Path, annotations: bytes) -> None:
    path = root / "gtFine" / "cityscapes_panoptic_val_trainId.json"
    path.write_bytes(annotations)
    dataset = only_refuses(lambda: CityscapesPanoptic(str(root), "val"))
    for index in range(len(dataset) if dataset else 0):
        only_refuses(lambda index=index: dataset[index])


@fuzz
@given(content=spoiled([ANNOTATIONS]) | VALUES)
def test_annotations(cityscapes_root: Path, content: Any) -> None:
    read_dataset(cityscapes_root, json.dumps(content).encode())


@fuzz
@given(content=damaged([json.dumps(ANNOTATIONS).encode()]) | st.binary(max_size=64))
def test_annotation_texts(cityscapes_root: Path, content: bytes) -> None:
    read_dataset(cityscapes_root, content)


@fuzz
@given(data=st.data())
def test_id_maps(cityscapes_root: Path, data: st.DataObject) -> None:
    path = cityscapes_root / "gtFine" / "cityscapes_panoptic_val_trainId" / "a.png"
    write_ids(path, IDS)
    whole = path.read_bytes()
    path.write_bytes(data.draw(damaged([whole])))
    read_dataset(cityscapes_root, json.dumps(ANNOTATIONS).encode())
    path.write_bytes(whole)


@fuzz
@given(content=damaged(IMAGES) | st.binary(max_size=64))
def test_images(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.png"
    path.write_bytes(content)
    image = only_refuses(lambda: read_image(path))
    assert image is None or (image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3)
    ids = only_refuses(lambda: read_ids(path))
    assert ids is None or (ids.dtype == np.int32 and ids.min() >= 0)


READERS_OF_PNGS = {
    "label map": read_label_map,
    "mask": read_mask,
    "bitmask": read_bitmask,
    "annotation of BDD100K": bdd100k.read_annotation,
    "annotation of KITTI": kitti.read_annotation,
    "instance ids": lambda path: panoptic_of_instance_ids(read_instance_ids(path), path),
}
LABELS = np.array([[7, 7, 26001], [23, 24, 0]], np.uint16)
LABEL_IMAGES = [
    encoded(Image.fromarray(LABELS), "PNG"),
    encoded(Image.fromarray(LABELS.astype(np.uint8)), "PNG"),
    encoded(Image.fromarray(ids_to_rgb(LABELS)), "PNG"),
    encoded(Image.fromarray(np.array([[[35, 2, 1, 44], [10, 0, 0, 10]]], np.uint8)), "PNG"),
]


@pytest.mark.parametrize("reader", READERS_OF_PNGS)
@fuzz
@given(content=damaged(LABEL_IMAGES))
def test_label_images(
    tmp_path_factory: pytest.TempPathFactory, reader: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.png"
    path.write_bytes(content)
    only_refuses(lambda: READERS_OF_PNGS[reader](path))


def score_panoptic_files(path: Path) -> None:
    """Score the file by itself, with the ids of its one image."""
    folder = path.with_suffix("")
    write_ids(folder / "a.png", IDS)
    evaluate_panoptic_files(path, folder, path, folder)


def read_predictions(path: Path) -> None:
    write_ids(path.with_suffix("") / "a.png", IDS)
    predictions = CocoPredictions(path, CITYSCAPES)
    if not predictions.missing([("a", Path("a.jpg"))]):
        predictions.read("a", Path("a.jpg"))


def read_coco_panoptic(path: Path) -> None:
    info = read_info(path)
    read_panoptic_file(path, info)
    read_boxes(path)


def read_coco_instances(path: Path) -> None:
    _, images = read_instances(path)
    for image in images:
        for instance in image.instances:
            instance_mask(instance, image.size)


def read_shapes(path: Path) -> None:
    annotation = read_labelme(path)
    for shape in annotation.shapes:
        shape_mask(shape, annotation.size or (4, 6))


def read_scalabel(path: Path) -> None:
    for frame in read_frames(path):
        painted_annotation(frame.labels, (4, 6))


TRIANGLE = [[0, 0], [5, 0], [5, 3]]
MASK = base64.b64encode(encoded(Image.new("L", (3, 2), 1), "PNG")).decode()
RLE = {"counts": [3, 5, 16], "size": [4, 6]}
PANOPTIC = ANNOTATIONS | {
    "categories": [CITYSCAPES.to_dict()["categories"][i] for i in (0, 11, 13)]
}
READERS_OF_JSONS: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    "scored panoptic": (PANOPTIC, score_panoptic_files),
    "predictions": (PANOPTIC, read_predictions),
    "panoptic": (PANOPTIC, read_coco_panoptic),
    "instances": (
        {
            "images": [{"id": 5, "file_name": "a.jpg", "height": 4, "width": 6}],
            "annotations": [
                {"id": 1, "image_id": 5, "category_id": 3, "segmentation": shape, "iscrowd": 0}
                for shape in ([[0, 0, 5, 0, 5, 3]], RLE, encode_rle(np.eye(4, 6, dtype=bool)))
            ],
            "categories": [{"id": 3, "name": "car"}],
        },
        read_coco_instances,
    ),
    "labelme": (
        {
            "imageHeight": 4,
            "imageWidth": 6,
            "shapes": [
                {"label": "car", "shape_type": kind, "points": TRIANGLE[:count], "group_id": 1}
                for kind, count in (("polygon", 3), ("rectangle", 2), ("circle", 2))
            ]
            + [{"label": "a", "shape_type": "mask", "points": [[1, 1], [3, 2]], "mask": MASK}],
        },
        read_shapes,
    ),
    "scalabel": (
        [
            {
                "name": "a.jpg",
                "labels": [
                    {"id": "1", "category": "car", "rle": RLE},
                    {
                        "id": "2",
                        "category": "sky",
                        "poly2d": [{"vertices": [*TRIANGLE, [1, 1]], "types": "LCCC"}],
                        "attributes": {"crowd": True},
                    },
                ],
            }
        ],
        read_scalabel,
    ),
}


@pytest.mark.parametrize("reader", READERS_OF_JSONS)
@fuzz
@given(data=st.data())
def test_json_annotations(
    tmp_path_factory: pytest.TempPathFactory, reader: str, data: st.DataObject
) -> None:
    tree, read = READERS_OF_JSONS[reader]
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_text(json.dumps(data.draw(spoiled([tree]) | VALUES)))
    only_refuses(lambda: read(path))


def test_readers_of_json_annotations_take_what_is_whole(tmp_path: Path) -> None:
    for tree, read in READERS_OF_JSONS.values():
        (tmp_path / "whole.json").write_text(json.dumps(tree))
        read(tmp_path / "whole.json")


def _saved_by_paddle(content: Any) -> bytes:
    file = io.BytesIO()
    paddle.save(content, file)
    return file.getvalue()


ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones((), np.int64)}
PICKLES = [pickle.dumps(ARRAYS, protocol) for protocol in range(6)] + [
    _saved_by_paddle({"a": paddle.ones([2, 3]), "b": paddle.ones([2], "bfloat16")}),
    _saved_by_paddle({"a": {"b": paddle.ones([2])}, "c": [1, None, "x", 2.5]}),
]
INSTRUCTIONS = st.sampled_from(
    [bytes([code]) for code in b"()]}aesutld012bRNQ\x81\x85\x86\x87\x88\x93\x94"]
) | st.sampled_from(
    [
        *(b"q\0", b"h\0", b"q\1", b"h\1", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f", b"\x82\1"),
        *(b"K\5", b"C\1x", b"C\4abcd", b"\x8c\2f4", b"X\1\0\0\0a", b"\x8e" + b"\xff" * 7 + b"\x7f"),
        *(b"\x8c\5numpy", b"\x8c\5dtype", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n"),
        *(b"cbuiltins\ntuple\n", b"ccollections\nOrderedDict\n", b"cos\nsystem\n"),
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy.core.multiarray\nscalar\n",
    ]
)


@fuzz
@given(
    content=damaged(PICKLES)
    | st.lists(INSTRUCTIONS, max_size=40).map(lambda parts: b"\x80\4" + b"".join(parts) + b".")
)
def test_pickled_weights(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    read_named_arrays(tmp_path_factory.getbasetemp() / "fuzz.pdparams", content)


@fuzz
@given(content=damaged([safetensors.numpy.save(ARRAYS)]) | st.binary(max_size=64))
def test_safetensors(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    read_named_arrays(tmp_path_factory.getbasetemp() / "fuzz.safetensors", content)


def read_named_arrays(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    weights = only_refuses(lambda: read_weights(path))
    for name, array in (weights or {}).items():
        assert isinstance(name, str)
        assert array.dtype.kind in "biuf"
        assert array.nbytes <= 2 * len(content)
