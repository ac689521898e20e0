"""Small files of all kinds that are read from outside, each with what reads it."""

from __future__ import annotations

import base64
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

IDS = np.array([[0, 1, 1, 1], [2, 2, 70000, 70000]], np.int32)
CATEGORIES = [
    {"id": 7, "name": "road", "isthing": 0, "color": [128, 64, 128]},
    {"id": 26, "name": "car", "isthing": 1},
]
SEGMENTS = [
    {"id": 1, "category_id": 7, "area": 3, "bbox": [1, 0, 3, 1], "iscrowd": 0},
    {"id": 2, "category_id": 26, "area": 2, "bbox": [0, 1, 2, 1], "iscrowd": 0},
    {"id": 70000, "category_id": 26, "area": 2, "bbox": [2, 1, 2, 1], "iscrowd": 1},
]
PANOPTIC = {
    "images": [{"id": 5, "file_name": "a.png", "width": 4, "height": 2}],
    "annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": SEGMENTS}],
    "categories": CATEGORIES,
}
TRIANGLE = [[0, 0], [5, 0], [5, 3]]
RLE = {"counts": [3, 5, 16], "size": [4, 6]}


class FileKind(NamedTuple):
    """A kind of file from outside.

    Attributes:
        name: of the file, by which some readers find it.
        whole: contents without a fault.
        readers: what reads it, given its path.
    """

    name: str
    whole: tuple[bytes, ...]
    readers: tuple[Callable[[Path], object], ...]


def file_kinds() -> dict[str, FileKind]:
    """Return the kinds of files by what they are."""
    from panoptic_deeplab.formats import bdd100k, cityscapes, images, kitti
    from panoptic_deeplab.weights import read_info_beside, read_pickle, read_weights

    def instance_ids(path: Path) -> object:
        return cityscapes.panoptic_of_instance_ids(cityscapes.read_instance_ids(path), path)

    labels = (images.read_label_map, images.read_mask, instance_ids, kitti.read_annotation)
    deployment = (_yaml(_deployment()), _json(_deployment()))
    return {
        "image": FileKind("a.png", tuple(_images()), (images.read_image,)),
        "id map": FileKind("a.png", tuple(_id_maps()), (images.read_ids, *labels)),
        "bitmask": FileKind("a.png", tuple(_id_maps()[-1:]), (bdd100k.read_annotation,)),
        "panoptic JSON": FileKind("panoptic.json", (_json(PANOPTIC),), (_load_data_set, _score)),
        "instances JSON": FileKind("instances.json", (_json(_instances()),), (_draw_instances,)),
        "labelme": FileKind("a.json", (_json(_labelme()),), (_draw_shapes,)),
        "scalabel": FileKind("a.json", (_json(_scalabel()),), (_draw_labels,)),
        "weights": FileKind("model.pdparams", tuple(_pickles()), (read_weights, read_pickle)),
        "safetensors": FileKind("model.safetensors", (_safetensors(),), (read_weights,)),
        "configuration": FileKind("config.yml", tuple(_configurations()), (_build,)),
        "deploy.yaml": FileKind("deploy.yaml", deployment, (_read_deployment,)),
        "classes": FileKind("dataset_info.json", (_json(_classes()),), (read_info_beside,)),
        "table": FileKind("segments.csv", (_table(),), (_add_results,)),
        "results": FileKind("panoptic.json", (_json(_results()),), (_add_results,)),
        "journal": FileKind("results.jsonl", (_journal(),), (_add_results,)),
        "score": FileKind("score.json", (_json({"pq": 0.5}),), (_read_score,)),
    }


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _yaml(content: Any) -> bytes:
    import yaml

    return yaml.safe_dump(content).encode()


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _images() -> list[bytes]:
    color = Image.fromarray(np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3))
    turned = Image.Exif()
    turned[0x0112] = 6
    wide = Image.fromarray(np.arange(72, dtype=np.uint16).reshape(8, 9) * 57)
    return [
        _encoded(color, "PNG", exif=turned),
        _encoded(color.quantize(8), "PNG", transparency=0),
        _encoded(color.convert("LA"), "PNG"),
        _encoded(wide, "PNG"),
        _encoded(color, "JPEG", exif=turned),
        _encoded(color.convert("CMYK"), "JPEG", progressive=True),
        _encoded(color, "TIFF", exif=turned),
        _encoded(wide, "TIFF", compression="tiff_lzw"),
        _encoded(wide, "TIFF", compression="tiff_deflate"),
        _encoded(color, "TIFF", compression="jpeg"),
        _encoded(color.convert("1"), "TIFF", compression="group4"),
        _encoded(color, "BMP"),
        _encoded(color, "WEBP", exif=turned),
        _encoded(color, "WEBP", lossless=True),
        _encoded(color, "PPM"),
    ]


def _id_maps() -> list[bytes]:
    from panoptic_deeplab.formats.images import ids_to_rgb

    labels = np.array([[7, 7, 26001], [23, 24, 0]], np.uint16)
    return [
        _encoded(Image.fromarray(ids_to_rgb(IDS)), "PNG"),
        _encoded(Image.fromarray(ids_to_rgb(labels)), "PNG"),
        _encoded(Image.fromarray(labels), "PNG"),
        _encoded(Image.fromarray(labels.astype(np.uint8)), "PNG"),
        _encoded(Image.fromarray(np.array([[[35, 2, 1, 44], [10, 0, 0, 10]]], np.uint8)), "PNG"),
    ]


def _instances() -> dict[str, Any]:
    from panoptic_deeplab.formats.masks import encode_rle

    shapes = ([[0, 0, 5, 0, 5, 3]], RLE, encode_rle(np.eye(4, 6, dtype=bool)), [])
    common = {"image_id": 5, "category_id": 3, "iscrowd": 0, "bbox": [0, 0, 5, 3]}
    return {
        "images": [{"id": 5, "file_name": "a.jpg", "height": 4, "width": 6}],
        "annotations": [
            common | {"id": i, "segmentation": shape} for i, shape in enumerate(shapes)
        ],
        "categories": [{"id": 3, "name": "car"}],
    }


def _labelme() -> dict[str, Any]:
    mask = base64.b64encode(_encoded(Image.new("L", (3, 2), 1), "PNG")).decode()
    drawn = [
        {"label": "car", "shape_type": kind, "points": TRIANGLE[:count], "group_id": 1}
        for kind, count in (("polygon", 3), ("rectangle", 2), ("circle", 2))
    ]
    mask_shape = {"label": "a", "shape_type": "mask", "points": [[1, 1], [3, 2]], "mask": mask}
    return {"imageHeight": 4, "imageWidth": 6, "shapes": [*drawn, mask_shape]}


def _scalabel() -> list[dict[str, Any]]:
    curve = {"vertices": [*TRIANGLE, [1, 1]], "types": "LCCC"}
    labels = [
        {"id": "1", "category": "car", "rle": RLE},
        {"id": "2", "category": "sky", "poly2d": [curve], "attributes": {"crowd": True}},
    ]
    return [{"name": "a.jpg", "labels": labels}]


def _pickles() -> list[bytes]:
    import paddle

    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones((), np.int64)}
    file = io.BytesIO()
    paddle.save({"a": paddle.ones([2, 3]), "b": paddle.ones([2], "bfloat16")}, file)
    return [pickle.dumps(arrays, 2), pickle.dumps(arrays, 4), file.getvalue()]


def _safetensors() -> bytes:
    import safetensors.numpy

    return safetensors.numpy.save({"a": np.ones((2, 3), np.float32), "b": np.ones(2, np.int64)})


def _configurations() -> list[bytes]:
    from panoptic_deeplab.config.files import merge, read_layers

    configs = Path(__file__).parents[2] / "configs"
    names = ("demo/panoptic_deeplab_lite_scenes.yml", "efficientps/efficientps_b0_scenes.yml")
    trees = [merge(read_layers(configs / name)) for name in names]
    return [*map(_yaml, trees), *map(_json, trees)]  # a JSON is YAML too


def _classes() -> dict[str, Any]:
    from panoptic_deeplab.formats.coco import info_of_categories

    return info_of_categories(CATEGORIES, "streets").to_dict()


def _deployment() -> dict[str, Any]:
    from panoptic_deeplab.deployment import Deployment
    from panoptic_deeplab.grouping_settings import GroupingSettings
    from panoptic_deeplab.normalization import Normalization
    from panoptic_deeplab.structures import DatasetInfo

    info = DatasetInfo.from_dict(_classes())
    settings, normalization = GroupingSettings(info.num_classes, info.thing_ids), Normalization.of()
    return Deployment(True, info, normalization, (64, 64), settings, {}).to_dict()


def _table() -> bytes:
    from panoptic_deeplab.results.table import COLUMNS

    return f"{','.join(COLUMNS)}\na,1,car,26,1,0.5,4,0,0,2,2,1.0,1.0\n".encode()


def _results() -> dict[str, Any]:
    segments = [segment | {"score": 0.5} for segment in SEGMENTS]
    image = PANOPTIC["images"][0] | {"id": "a"}
    annotation = {"image_id": "a", "file_name": "a.png", "segments_info": segments}
    lists = {"images": [image], "annotations": [annotation]}
    return lists | {"categories": _classes()["categories"]}


def _journal() -> bytes:
    results = _results()
    entry = {"image": results["images"][0], "annotation": results["annotations"][0]}
    lines = [
        {"journal": "panoptic_deeplab results", "version": 1},
        {"form": "images", "categories": results["categories"]},
        {"form": "csv", "categories": None},
        {"started": "2026-01-01 12:00:00"},
        {"form": "images", "key": "a", "files": ["panoptic/a.png"], "entry": entry},
        {"form": "csv", "key": "a", "files": [], "entry": [["a", "1", "car"]]},
    ]
    return b"".join(_json(line) + b"\n" for line in lines)


def _load_data_set(path: Path) -> None:
    from panoptic_deeplab.datasets import CocoPanoptic
    from panoptic_deeplab.formats.images import write_ids

    write_ids(path.with_suffix("") / "a.png", IDS)
    (path.parent / "images").mkdir(exist_ok=True)
    Image.new("RGB", IDS.shape[::-1]).save(path.parent / "images" / "a.png")
    places = {"image_root": "images", "annotation_file": path.name}
    samples = CocoPanoptic(str(path.parent), **places)
    samples.annotated_boxes()
    for index in range(len(samples)):
        samples.load(index)


def _score(path: Path) -> None:
    """Score the file by itself, then read it as a prediction."""
    from panoptic_deeplab.evaluation import evaluate_panoptic_files
    from panoptic_deeplab.formats.coco import info_of_categories
    from panoptic_deeplab.formats.prediction_files import CocoPredictions

    evaluate_panoptic_files(path, path.with_suffix(""), path, path.with_suffix(""))
    predictions = CocoPredictions(path, info_of_categories(CATEGORIES, "streets"))
    if not predictions.missing([("5", Path("a.png"))]):
        predictions.read("5", Path("a.png"))


def _draw_instances(path: Path) -> None:
    from panoptic_deeplab.formats.coco_instances import instance_mask, read_instances

    for image in read_instances(path)[1]:
        for instance in image.instances:
            instance_mask(instance, image.size)


def _draw_shapes(path: Path) -> None:
    from panoptic_deeplab.formats.labelme import read_labelme, shape_mask

    annotation = read_labelme(path)
    for shape in annotation.shapes:
        shape_mask(shape, annotation.size or (4, 6))


def _draw_labels(path: Path) -> None:
    from panoptic_deeplab.formats.bdd100k import painted_annotation
    from panoptic_deeplab.formats.scalabel import read_frames

    for frame in read_frames(path):
        painted_annotation(frame.labels, (4, 6))


def _build(path: Path) -> None:
    """Build all of a configuration that needs neither data nor a network."""
    from panoptic_deeplab.config import Config

    config = Config(path)
    for part in ("targets", "criterion", "postprocessor", "val_transforms", "lr_scheduler"):
        getattr(config, part)


def _read_deployment(path: Path) -> None:
    from panoptic_deeplab.deployment import read_deployment

    read_deployment(path.parent)


def _add_results(path: Path) -> None:
    """Begin and end a prediction into the folder of earlier results."""
    from panoptic_deeplab.formats.images import write_ids
    from panoptic_deeplab.results.folder import make_forms, prepared
    from panoptic_deeplab.structures import DatasetInfo

    write_ids(path.parent / "panoptic" / "a.png", IDS)
    forms = make_forms(path.parent, DatasetInfo.from_dict(_classes()), ["images", "csv"])
    with prepared(path.parent, forms, ["b"]):
        pass


def _read_score(path: Path) -> None:
    from panoptic_deeplab.engine.checkpoint import read_score

    read_score(path.parent)
