"""Scores of files and of maps in memory, and preparing annotations, against cityscapesscripts.

Both sides use one process, and one thread of ours, for everything: where the official tool spreads
its work over a pool (PQ), the function that each of its processes runs is timed. Its printing goes
to /dev/null. The scenes are those of `make_scenes.py`; the predictions are the annotations moved
by some pixels, with some segments of a wrong class.
"""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarking.comparison import Comparison, DisagreementError, Implementation
from benchmarking.inputs import size_of
from benchmarking.processes import Call
from benchmarking.scored_files import Files, link_many, write_files

if TYPE_CHECKING:
    from panoptic_deeplab.structures import PanopticMap, Prediction

OFFICIAL = "cityscapesscripts"
SCENES, QUICK_SCENES = 6, 2
MANY, FEW = 1000, 10
FRAMES = 24


def comparisons(folder: Path, quick: bool) -> Iterable[Comparison]:
    """Each score from files, PQ and AP also without reading them, and their memory."""
    scenes, workers = (QUICK_SCENES, 1) if quick else (SCENES, 2)
    files = write_files(folder / "scenes", size_of(quick), scenes, workers)
    yield _comparison("PQ from files", prepare_pq, official_pq, files, same_pq, 3)
    yield _comparison("PQ of maps in memory", prepare_pq_maps, official_pq_maps, files, same_pq, 8)
    yield Comparison(
        "STQ and VPQ of 24 frames",
        Implementation(partial(prepare_sequence, files)),
        Implementation(partial(prepare_frames, files)),
        "PQ of the same",
        note="both measures in one pass over maps in memory, against PQ of single frames",
    )
    yield _comparison("AP from files", prepare_ap, official_ap, files, same_ap, 8, _FIRST_RUN)
    yield _comparison(
        "AP of maps in memory", prepare_ap_maps, official_ap_maps, files, same_ap, 8, _FIRST_RUN
    )
    yield _comparison("IoU and iIoU from files", prepare_iou, official_iou, files, same_iou, 1)
    yield _comparison("panoptic PNGs of a split", prepare_pngs, official_pngs, files, same_pngs, 3)

    many, few = (QUICK_SCENES, 1) if quick else (MANY, FEW)
    linked = [link_many(files, folder / f"times_{count}", count) for count in (many, few)]
    for name, prepare in (("PQ", prepare_pq), ("PQ, IoU, AP", prepare_all_maps)):
        yield Comparison(
            f"{name}: {many:,} images",
            *(Implementation(partial(prepare, files)) for files in linked),
            f"ours, {few} images",
            goal_memory=1.2,
            note="the memory compared is what scoring takes beyond the loaded libraries",
        )


_FIRST_RUN = "both look for the annotated instances, as in the official tool's first run"


def _comparison(
    name, ours, baseline, files: Files, check, goal: float, note: str = ""
) -> Comparison:
    return Comparison(
        name,
        Implementation(partial(ours, files)),
        Implementation(partial(baseline, files)),
        OFFICIAL,
        goal=goal,
        check=check,
        note=note,
    )


def _official_module(name: str) -> Any:
    """A copy of an official module, whose settings and imports can be changed."""
    spec = importlib.util.find_spec(f"cityscapesscripts.evaluation.{name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- panoptic quality ---


def prepare_pq(files: Files) -> Call:
    """PQ of COCO panoptic files."""
    from panoptic_deeplab.evaluation import evaluate_panoptic_files

    paths = (files.truth_json, files.truth_pngs, files.predicted_json, files.predicted_pngs)
    return partial(evaluate_panoptic_files, *paths)


def official_pq(files: Files) -> Call:
    """The same by what each process of the official pool runs."""
    from panoptic_deeplab.files import read_json

    tool = _official_module("evalPanopticSemanticLabeling")

    def run() -> Mapping[str, Any]:
        truth, predicted = read_json(files.truth_json), read_json(files.predicted_json)
        categories = {entry["id"]: entry for entry in truth["categories"]}
        folders = str(files.truth_pngs), str(files.predicted_pngs)
        counts = tool.pq_compute_single_core(0, _paired(truth, predicted), *folders, categories)
        return tool.average_pq(counts, categories)

    return run


def prepare_pq_maps(files: Files) -> Call:
    """PQ of id maps."""
    from panoptic_deeplab.evaluation import PanopticQuality
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES

    maps = files.maps()

    def run() -> Mapping[str, Any]:
        evaluator = PanopticQuality(CITYSCAPES)
        for prediction, truth in maps:
            evaluator.update(prediction, truth)
        return evaluator.compute()

    return run


def _frames(files: Files) -> list[tuple[Prediction, PanopticMap]]:
    """The scenes, again and again, as the frames of one sequence."""
    maps = islice(cycle(files.maps()), FRAMES)
    return [(prediction, replace(truth, sequence="scenes")) for prediction, truth in maps]


def prepare_sequence(files: Files) -> Call:
    """STQ and VPQ of id maps."""
    from panoptic_deeplab.evaluation import SegmentationTrackingQuality, VideoPanopticQuality

    return _scoring([SegmentationTrackingQuality, VideoPanopticQuality], _frames(files).copy)


def prepare_frames(files: Files) -> Call:
    """PQ of the same maps."""
    from panoptic_deeplab.evaluation import PanopticQuality

    return _scoring([PanopticQuality], _frames(files).copy)


def _scoring(
    measures: Sequence[type], read: Callable[[], Iterable[tuple[Prediction, PanopticMap]]]
) -> Call:
    """One pass over the maps that `read` gives, with all measures."""
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES

    def run() -> list[Mapping[str, Any]]:
        evaluators = [measure(CITYSCAPES) for measure in measures]
        for prediction, truth in read():
            for evaluator in evaluators:
                evaluator.update(prediction, truth)
        return [evaluator.compute() for evaluator in evaluators]

    return run


def official_pq_maps(files: Files) -> Call:
    """The official counting with maps in place of files; colors need no decoding either."""
    from panoptic_deeplab.files import read_json
    from panoptic_deeplab.formats.images import read_ids

    tool = _official_module("evalPanopticSemanticLabeling")
    truth, predicted = read_json(files.truth_json), read_json(files.predicted_json)
    categories = {entry["id"]: entry for entry in truth["categories"]}
    pairs = _paired(truth, predicted)
    maps = {
        os.path.join(folder, entry["file_name"]): read_ids(folder / entry["file_name"])
        for pair in pairs
        for folder, entry in zip((files.truth_pngs, files.predicted_pngs), pair, strict=True)
    }
    tool.Image = SimpleNamespace(open=maps.get)
    tool.rgb2id = lambda ids: ids
    folders = str(files.truth_pngs), str(files.predicted_pngs)

    def run() -> Mapping[str, Any]:
        counts = tool.pq_compute_single_core(0, pairs, *folders, categories)
        return tool.average_pq(counts, categories)

    return run


def _paired(truth: Mapping[str, Any], predicted: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    by_image = {entry["image_id"]: entry for entry in predicted["annotations"]}
    return [(entry, by_image[entry["image_id"]]) for entry in truth["annotations"]]


def same_pq(ours: Mapping[str, Any], official: Mapping[str, Any]) -> None:
    """Refuse other PQ, SQ or RQ."""
    for group in ("All", "Things", "Stuff"):
        for key in ("pq", "sq", "rq"):
            _same(f"{group} {key}", ours[group][key], official[group][key])


# --- average precision ---


def prepare_ap(files: Files) -> Call:
    """AP of instance files."""
    from panoptic_deeplab.evaluation import evaluate_instance_files

    return partial(evaluate_instance_files, files.labels, files.masks)


def official_ap(files: Files) -> Call:
    """The same by the official tool."""
    return partial(_official_ap_averages, *_official_ap(files))


def prepare_ap_maps(files: Files) -> Call:
    """AP of id maps."""
    from panoptic_deeplab.evaluation import InstanceAP
    from panoptic_deeplab.formats.cityscapes import CITYSCAPES

    maps = files.maps()

    def run() -> Mapping[str, Any]:
        evaluator = InstanceAP(CITYSCAPES)
        for prediction, truth in maps:
            evaluator.update(prediction, truth)
        return {"allAp": evaluator.compute()["ap"]}

    return run


def official_ap_maps(files: Files) -> Call:
    """The official matching with images that are decoded already."""
    from PIL import Image

    tool, settings, predicted, annotated = _official_ap(files)
    images = {}
    for path in [*map(Path, annotated), *files.masks.rglob("*.png")]:
        images[os.path.abspath(path)] = Image.open(path)
        images[os.path.abspath(path)].load()
    tool.Image = SimpleNamespace(open=lambda path: images[os.path.abspath(path)])
    return partial(_official_ap_averages, tool, settings, predicted, annotated)


def _official_ap(files: Files) -> tuple[Any, Any, list[str], list[str]]:
    """The official module, its settings and its two lists of files."""
    tool = _official_module("evalInstanceLevelSemanticLabeling")
    work = Path(tempfile.mkdtemp(dir=files.root))
    settings = tool.args
    settings.quiet, settings.JSONOutput = True, False
    settings.gtInstancesFile = str(work / "gtInstances.json")
    settings.predictionPath = str(files.masks.resolve())
    annotated = sorted(map(str, files.labels.rglob("*_instanceIds.png")))
    predicted = [tool.getPrediction(path, settings) for path in annotated]
    return tool, settings, predicted, annotated


def _official_ap_averages(tool: Any, settings: Any, predicted: list, annotated: list) -> Any:
    """AP without the list of annotated instances that the tool keeps from its last run."""
    here, kept = os.getcwd(), Path(settings.gtInstancesFile)
    kept.unlink(missing_ok=True)
    os.chdir(kept.parent)  # it writes where it stands
    try:
        return tool.evaluateImgLists(predicted, annotated, settings)["averages"]
    finally:
        os.chdir(here)


def same_ap(ours: Mapping[str, Any], official: Mapping[str, Any]) -> None:
    """Refuse another AP."""
    _same("AP", ours["allAp"], official["allAp"])


# --- classes of pixels ---


def prepare_iou(files: Files) -> Call:
    """IoU and iIoU of label files."""
    from panoptic_deeplab.evaluation import evaluate_pixel_files

    return partial(evaluate_pixel_files, files.labels, files.predicted_labels)


def official_iou(files: Files) -> Call:
    """The same by the official tool."""
    tool = _official_module("evalPixelLevelSemanticLabeling")
    settings = tool.args
    settings.quiet, settings.JSONOutput = True, False
    settings.predictionPath = str(files.predicted_labels)
    annotated = sorted(map(str, files.labels.rglob("*_labelIds.png")))
    predicted = [tool.getPrediction(settings, path) for path in annotated]
    return partial(tool.evaluateImgLists, predicted, annotated, settings)


def same_iou(ours: Mapping[str, Any], official: Mapping[str, Any]) -> None:
    """Refuse another mean IoU or iIoU."""
    for key in ("averageScoreClasses", "averageScoreInstClasses"):
        _same(key, ours[key], official[key])


# --- preparing annotations ---


def prepare_pngs(files: Files) -> Call:
    """Panoptic PNGs and JSON by `convert prepare-cityscapes`, in this process."""
    from panoptic_deeplab.convert.prepare_cityscapes import make_panoptic, panoptic_json

    labels = _own_labels(files)

    def run() -> dict[str, Any]:
        make_panoptic(labels, "val", num_workers=1)
        return _prepared(panoptic_json(labels, "val"))

    return run


def official_pngs(files: Files) -> Call:
    """The same by the official converter."""
    from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

    from panoptic_deeplab.convert.prepare_cityscapes import panoptic_json

    labels = _own_labels(files)

    def run() -> dict[str, Any]:
        convert2panoptic(str(labels), str(labels), useTrainId=True, setNames=["val"])
        return _prepared(panoptic_json(labels, "val"))

    return run


def _own_labels(files: Files) -> Path:
    """A gtFine of this process's own, to write to."""
    labels = Path(tempfile.mkdtemp(dir=files.root))
    shutil.copytree(files.labels / "val", labels / "val", copy_function=os.link)
    return labels


def _prepared(path: Path) -> dict[str, Any]:
    """Names of the written files, and their sizes in bytes."""
    files = [path, *sorted(path.with_suffix("").iterdir())]
    return {file.name: file.stat().st_size for file in files}


def same_pngs(ours: Mapping[str, int], official: Mapping[str, int]) -> None:
    """Refuse other files. (That they hold the same is what the tests of the converter hold.)"""
    if ours.keys() != official.keys():
        raise DisagreementError(f"other files: {sorted(ours.keys() ^ official.keys())}")


# --- everything, for its memory ---


def prepare_all_maps(files: Files) -> Call:
    """PQ, IoU and AP of maps that are read one at a time."""
    from panoptic_deeplab.evaluation import InstanceAP, PanopticQuality, SemanticIoU

    return _scoring([PanopticQuality, SemanticIoU, InstanceAP], files.read_maps)


def _same(what: str, ours: float, official: float) -> None:
    if not math.isclose(ours, official, rel_tol=1e-9, abs_tol=1e-12):
        raise DisagreementError(f"{what} is {ours}, the official tool says {official}")
