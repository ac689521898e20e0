"""CocoPanoptic: what the JSON says, whose classes they are, and names that lead astray."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_CONFIG
from PIL import Image

from panoptic_deeplab.cli import train, val
from panoptic_deeplab.config import Config
from panoptic_deeplab.datasets import CocoPanoptic
from panoptic_deeplab.errors import DataError, UsageError, collecting_errors
from panoptic_deeplab.evaluation import InstanceAP, PanopticQuality, SemanticIoU
from panoptic_deeplab.formats.coco import read_info, read_panoptic_file
from panoptic_deeplab.formats.images import write_ids, write_image
from panoptic_deeplab.structures import Prediction
from panoptic_deeplab.weights import read_weights

ROOT = Path(__file__).parents[2]
CPU = ["--device", "cpu"]

# Ids with gaps, in no order; the last two have no color.
CATEGORIES = [
    {"id": 90, "name": "sea", "isthing": 0, "color": [1, 2, 3]},
    {"id": 7, "name": "boat", "isthing": 1, "color": [200, 0, 0]},
    {"id": 41, "name": "buoy", "isthing": 1, "color": [0, 200, 0]},
    {"id": 8, "name": "sky", "isthing": 0},
    {"id": 300, "name": "pier", "isthing": 0},
]
SIZE = (48, 64)


def image_of(index: int) -> tuple[np.ndarray, list[dict]]:
    """Sky over sea, two boats of which one is a crowd, a buoy; a void row."""
    ids = np.full(SIZE, 70_000, np.int32)  # an id that needs three bytes
    ids[:20] = 5
    ids[24:34, 4 + index : 20] = 300
    ids[24:34, 30:50] = 301
    ids[40:44, 50:58] = 9
    ids[-1] = 0
    kinds = {70_000: (90, 0), 5: (8, 0), 300: (7, 0), 301: (7, 1), 9: (41, 0)}
    segments = [
        {"id": i, "category_id": c, "iscrowd": crowd, "area": int((ids == i).sum())}
        for i, (c, crowd) in kinds.items()
    ]
    return ids, segments


def make_split(
    root: Path,
    mode: str,
    count: int = 3,
    keep: Callable[[int], bool] = lambda category_id: True,
) -> Path:
    """A split in the default layout; categories that are not kept become void. The JSON's path."""
    source = root / "annotations" / f"panoptic_{mode}.json"
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(count):
        ids, segments = image_of(index)
        kept = [segment for segment in segments if keep(segment["category_id"])]
        ids = np.where(np.isin(ids, [segment["id"] for segment in kept]), ids, 0)
        stem = f"{index:04}"
        write_ids(source.with_suffix("") / f"{stem}.png", ids)
        write_image(
            root / "images" / mode / f"{stem}.jpg", rng.integers(0, 256, (*SIZE, 3), np.uint8)
        )
        images.append({"id": index, "file_name": f"{stem}.jpg"})
        annotations.append({"image_id": index, "file_name": f"{stem}.png", "segments_info": kept})
    categories = [category for category in CATEGORIES if keep(category["id"])]
    content = {"images": images, "annotations": annotations, "categories": categories}
    source.write_text(json.dumps(content))
    return source


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def own_config(root: Path, path: Path) -> Path:
    """The tests' small network on a data set in COCO form."""
    text = TINY_CONFIG.format(root=root).replace("CityscapesPanoptic", "CocoPanoptic")
    path.write_text(text)
    return path


def test_classes_come_from_the_json(tmp_path: Path) -> None:
    info = read_info(make_split(tmp_path, "train"))
    assert [category.name for category in info.categories] == ["sea", "boat", "buoy", "sky", "pier"]
    assert info.thing_ids == (1, 2)
    assert [category.official_id for category in info.categories] == [90, 7, 41, 8, 300]
    assert info.categories[0].color == (1, 2, 3)
    assert len({category.color for category in info.categories}) == 5, "made-up colors differ"
    assert info == CocoPanoptic.describe(dataset_root=str(tmp_path), mode="train", transforms=[])


def test_more_classes_than_a_byte_holds(tmp_path: Path) -> None:
    categories = [{"id": i, "name": f"n{i}", "isthing": i % 2} for i in range(300)]
    (tmp_path / "a.json").write_text(json.dumps({"categories": categories}))
    info = read_info(tmp_path / "a.json")
    assert (info.num_classes, info.ignore_index) == (300, 300)
    assert len({category.color for category in info.categories}) == 300


@pytest.mark.parametrize("spare", [{}, {"area": None, "iscrowd": None}], ids=["absent", "null"])
def test_area_and_iscrowd_may_be_left_out(tmp_path: Path, spare: dict[str, None]) -> None:
    """The score counts the pixels: ground truth as prediction scores 1."""
    source = make_split(tmp_path, "val")

    def leave_out(content: dict) -> None:
        for annotation in content["annotations"]:
            for segment in annotation["segments_info"]:
                del segment["area"], segment["iscrowd"]
                segment.update(spare)

    edit(source, leave_out)
    dataset = CocoPanoptic(str(tmp_path), "val")
    evaluator = PanopticQuality(dataset.info)
    for index in range(len(dataset)):
        truth = dataset.truth(index)
        assert {(segment.area, segment.iscrowd) for segment in truth.segments} == {(None, False)}
        evaluator.update(Prediction(truth.ids, truth.segments), truth)
    assert evaluator.compute()["All"]["pq"] == 1


def test_ids_and_flags_may_be_text_and_booleans(tmp_path: Path) -> None:
    source = make_split(tmp_path, "val")
    expected = CocoPanoptic(str(tmp_path), "val")

    def rewrite(content: dict) -> None:
        for category in content["categories"]:
            category.update(id=str(category["id"]), isthing=("false", "true")[category["isthing"]])
        for annotation in content["annotations"]:
            annotation["image_id"] = str(annotation["image_id"])
            for segment in annotation["segments_info"]:
                segment.update(
                    id=str(segment["id"]),
                    category_id=str(segment["category_id"]),
                    iscrowd=bool(segment["iscrowd"]),
                    area=float(segment["area"]),
                )

    edit(source, rewrite)
    dataset = CocoPanoptic(str(tmp_path), "val", info=expected.info)
    assert CocoPanoptic(str(tmp_path), "val").info == expected.info
    assert dataset.records == expected.records


def test_a_sample_is_what_the_files_say(tmp_path: Path) -> None:
    make_split(tmp_path, "val")
    dataset = CocoPanoptic(str(tmp_path), "val")
    ids, _ = image_of(1)
    sample = dataset[1]
    assert (len(dataset), sample["image_id"], sample["panoptic"].dtype) == (3, "1", np.int32)
    np.testing.assert_array_equal(sample["panoptic"], ids)
    by_id = {segment.id: segment for segment in sample["segments"]}
    assert by_id[301].iscrowd
    assert not by_id[300].iscrowd
    assert by_id[70_000].category == 0
    semantic = dataset.truth(1).semantic(255)
    assert semantic[[0, 22, 25, 41, -1], [0, 0, 35, 51, 0]].tolist() == [3, 0, 1, 2, 255]


def test_images_by_image_id_else_by_the_name_of_the_png(tmp_path: Path) -> None:
    source = make_split(tmp_path, "val", count=2)
    first, second = (tmp_path / "images" / "val" / name for name in ("0000.jpg", "0001.jpg"))
    (tmp_path / "images" / "val" / "sub").mkdir()
    first.rename(tmp_path / "images" / "val" / "sub" / "other.jpg")
    Image.open(second).save(second.with_suffix(".bmp"))
    second.unlink()
    edit(source, lambda c: c["images"][0].update(file_name="sub/other.jpg"))
    names = [record.image_path.name for record in CocoPanoptic(str(tmp_path), "val").records]
    assert names == ["other.jpg", "0001.bmp"]


def test_paths_of_other_layouts(tmp_path: Path) -> None:
    source = make_split(tmp_path, "val")
    source.rename(tmp_path / "truth.json")
    source.with_suffix("").rename(tmp_path / "pngs")
    dataset = CocoPanoptic(
        str(tmp_path),
        image_root="images/val",
        annotation_file="truth.json",
        annotation_root="pngs",
    )
    assert len(dataset[2]["segments"]) == 5


def test_a_json_without_annotations_is_for_prediction(tmp_path: Path) -> None:
    edit(make_split(tmp_path, "test"), lambda content: content.pop("annotations"))
    dataset = CocoPanoptic(str(tmp_path), "test")
    assert len(dataset) == 3
    assert "panoptic" not in dataset[0]
    with pytest.raises(DataError, match=r"has no annotation; .* which holds no annotations"):
        dataset.truth(0)


def _first(content: dict) -> dict:
    return content["annotations"][0]


REFUSED: dict[str, tuple[Callable[[dict], object], str]] = {
    "an image outside": (
        lambda c: c["images"][0].update(file_name="../secret.jpg"),
        "'../secret.jpg' points outside",
    ),
    "an absolute image": (
        lambda c: c["images"][0].update(file_name="/etc/passwd"),
        "'/etc/passwd' points outside",
    ),
    "a zero byte": (lambda c: c["images"][0].update(file_name="a\0b"), "points outside"),
    "a PNG outside": (lambda c: _first(c).update(file_name="../../a.png"), "points outside"),
    "no image": (
        lambda c: c["images"][0].update(file_name="x.jpg") or _first(c).update(file_name="y.png"),
        "no image x.jpg or y.* lies in",
    ),
    "a name without end": (
        lambda c: (
            c["images"][0].update(file_name="x" * 999) or _first(c).update(file_name="y" * 999)
        ),
        "is annotated, but no image",
    ),
    "twice": (lambda c: c["annotations"].append(_first(c)), "image 0 is annotated twice"),
    "an image without a name": (lambda c: c["images"][0].pop("file_name"), "needs id and file_na"),
    "an image that is a number": (lambda c: c["images"].append(3), "needs id and file_name; got 3"),
    "an unknown category": (
        lambda c: _first(c)["segments_info"][0].update(category_id=6),
        "category_id 6, which is none of the 5 categories of panoptic_val",
    ),
    "nothing": (lambda c: c.update(images=[], annotations=[]), "entries under 'annotations' or"),
    "no categories": (lambda c: c.pop("categories"), "expected a list under 'categories'"),
    "instances alone": (
        lambda c: c["categories"][0].pop("isthing"),
        "of 5 categories 1 lack isthing: sea; write 1 for a thing",
    ),
    "no kinds at all": (
        lambda c: [category.pop("isthing") for category in c["categories"]],
        "of 5 categories 5 lack isthing: sea, boat, buoy, sky, pier; write",
    ),
    "a word as thing flag": (
        lambda c: c["categories"][0].update(isthing="no"),
        "0 or 1 as 'isthing'",
    ),
    "a class without a name": (lambda c: c["categories"][0].pop("name"), "needs id, name and"),
    "a class that is a word": (lambda c: c["categories"].append("ship"), "needs id, name and"),
    "two classes of one name": (
        lambda c: c["categories"][0].update(name="boat"),
        "share the name 'boat'",
    ),
    "two classes of one id": (lambda c: c["categories"][0].update(id=7), "share the official_id 7"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    source = make_split(root, "val")
    change, message = REFUSED[kind]
    edit(source, change)
    with pytest.raises(DataError) as failure:
        CocoPanoptic(str(root), "val")
    assert message in str(failure.value)
    assert str(source) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_links_into_a_store_are_followed(tmp_path: Path) -> None:
    """As DVC, git-annex and huggingface_hub leave files: a link each, under another name."""
    source = make_split(tmp_path / "root", "val")
    store = tmp_path / "store"
    store.mkdir()
    for number, path in enumerate(
        (*source.parent.rglob("*.png"), *source.parents[1].rglob("*.jpg"))
    ):
        path.rename(store / f"{number:02x}")
        path.symlink_to(store / f"{number:02x}")
    (tmp_path / "linked").symlink_to("root")
    for root in ("root", "linked"):
        assert len(CocoPanoptic(str(tmp_path / root), "val")[0]["segments"]) == 5


def test_links_without_their_store_are_told(tmp_path: Path) -> None:
    source = make_split(tmp_path, "val", count=1)
    image, label = tmp_path / "images/val/0000.jpg", source.with_suffix("") / "0000.png"
    for path in (label, image):
        path.unlink()
        path.symlink_to("../.git/annex/objects/4f2c")
        with pytest.raises(DataError, match=f"{path}: a link to .*4f2c, which is not there; fetch"):
            CocoPanoptic(str(tmp_path), "val")[0]


def from_windows(root: Path, content: dict) -> None:
    for entry in content["images"] + content["annotations"]:
        entry["file_name"] = f"day0\\{entry['file_name']}"
    for folder in ("images/val", "annotations/panoptic_val"):
        (root / folder / "day0").mkdir()
        for path in list((root / folder).glob("*.*")):
            path.rename(path.parent / "day0" / path.name)


def in_capitals(root: Path, content: dict) -> None:
    for path in [*root.rglob("*.jpg"), *root.rglob("*.png")]:
        path.rename(path.with_suffix(path.suffix.upper()))


def from_a_mac(root: Path, content: dict) -> None:
    """The JSON has accents composed, the disk decomposed."""
    composed, decomposed = "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}"
    for entry in content["images"] + content["annotations"]:
        entry["file_name"] = composed + entry["file_name"]
    for path in [*root.rglob("*.jpg"), *root.rglob("*.png")]:
        path.rename(path.with_name(decomposed + path.name))


def absolute(root: Path, content: dict) -> None:
    for entry in content["images"]:
        entry["file_name"] = str(root / "images" / "val" / entry["file_name"])
    for entry in content["annotations"]:
        entry["file_name"] = str(root / "annotations" / "panoptic_val" / entry["file_name"])


def with_folders_in_front(root: Path, content: dict) -> None:
    for entry in content["images"]:
        entry["file_name"] = f"images/val/{entry['file_name']}"
    for entry in content["annotations"]:
        entry["file_name"] = f"panoptic_val/{entry['file_name']}"


@pytest.mark.parametrize(
    "move", [from_windows, in_capitals, from_a_mac, absolute, with_folders_in_front]
)
def test_names_of_other_systems_are_understood(tmp_path: Path, move: Callable) -> None:
    source = make_split(tmp_path, "val")
    edit(source, lambda content: move(tmp_path, content))
    dataset = CocoPanoptic(str(tmp_path), "val")
    assert [len(dataset[index]["segments"]) for index in range(3)] == [5, 5, 5]


def test_a_check_hears_of_all_faults_at_once(tmp_path: Path) -> None:
    source = make_split(tmp_path, "val")

    def spoil(content: dict) -> None:
        content["annotations"][0]["segments_info"][0]["category_id"] = 6
        content["annotations"][1]["file_name"] = "/a.png"
        content["images"].append({"id": 77, "file_name": "77.jpg"})

    edit(source, spoil)
    with collecting_errors() as errors:
        assert len(CocoPanoptic(str(tmp_path), "val")) == 1
    kinds = [error.kind for error in errors]
    assert kinds[:2] == ["unknown category", "outside folder"]
    assert set(kinds[2:]) == {"picture without annotation"}
    assert errors[0].where["segment_id"] == 70_000


OTHER_CLASSES: dict[str, tuple[Callable[[dict], object], str]] = {
    "another number": (
        lambda c: c["categories"][1].update(id=70),
        "category 'boat' has id 70, in panoptic_train it is 7",
    ),
    "another name": (
        lambda c: c["categories"][1].update(name="ship"),
        "category 'ship' has id 7, which is 'boat' in panoptic_train",
    ),
    "another kind": (
        lambda c: c["categories"][1].update(isthing=0),
        "category 'boat' is stuff here and a thing in panoptic_train",
    ),
    "one more": (
        lambda c: (
            c["categories"].append({"id": 55, "name": "whale", "isthing": 1})
            or _first(c)["segments_info"][0].update(category_id=55)
        ),
        "uses the category 'whale' (id 55), which is none of the 5 categories of panoptic_train",
    ),
}


@pytest.mark.parametrize("kind", OTHER_CLASSES)
def test_a_split_with_other_classes_is_told_where_they_differ(tmp_path: Path, kind: str) -> None:
    make_split(tmp_path, "train")
    source = make_split(tmp_path, "val")
    change, message = OTHER_CLASSES[kind]
    edit(source, change)
    config = Config(own_config(tmp_path, tmp_path / "own.yml"))
    with pytest.raises(DataError) as failure:
        _ = config.val_dataset
    assert message in str(failure.value)
    assert str(source) in str(failure.value)


def test_a_split_may_list_fewer_classes_and_more_that_it_does_not_use(tmp_path: Path) -> None:
    info = read_info(make_split(tmp_path, "train"))
    source = make_split(tmp_path, "val")
    edit(source, lambda c: c["categories"].pop())
    edit(source, lambda c: c["categories"].append({"id": 55, "name": "whale", "isthing": 1}))
    assert len(CocoPanoptic(str(tmp_path), "val", info=info)) == 3


def test_a_large_json_is_not_held_as_a_whole(tmp_path: Path) -> None:
    source = make_split(tmp_path, "val", count=1)
    info = read_info(source)

    def repeat(content: dict) -> None:
        content["annotations"] = [_first(content) | {"image_id": i} for i in range(1000)]
        for annotation in content["annotations"]:
            annotation["segments_info"] = [
                segment | {"bbox": [0, 0, 1, 1], "polygon": [0.5] * 100}
                for segment in annotation["segments_info"]
            ]

    edit(source, repeat)
    tracemalloc.start()
    assert len(read_panoptic_file(source, info).annotations) == 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * source.stat().st_size, "parsed as a whole it takes eight times its size"


# --- from the YAML to a score ---


ONLY = {"things": lambda category_id: category_id in (7, 41), "stuff": lambda c: c in (8, 90, 300)}


@pytest.mark.parametrize("kind", ONLY)
def test_things_alone_and_stuff_alone_train_and_evaluate(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode in ("train", "val"):
        make_split(tmp_path, mode, keep=ONLY[kind])
    path = own_config(tmp_path, tmp_path / "own.yml")
    config = Config(path)
    truth = config.val_dataset.truth(0)
    prediction = Prediction(truth.ids, truth.segments, truth.semantic(config.info.ignore_index))
    for evaluator in config.evaluators:
        evaluator.update(prediction, truth)
    panoptic = config.evaluators[0].compute()
    assert panoptic["All"]["pq"] == 1
    assert np.isnan(panoptic["Stuff" if kind == "things" else "Things"]["pq"])

    run = tmp_path / "run"
    arguments = ["--config", str(path), *CPU, "--save_dir", str(run)]
    assert train.main([*arguments, "--iters", "2", "--log_iters", "1", "--do_eval"]) == 0
    results = tmp_path / "r.json"
    arguments = ["--config", str(path), *CPU, "--model_path", str(run / "iter_2")]
    assert val.main([*arguments, "--json", str(results)]) == 0
    output = capsys.readouterr().out
    assert "loss=nan" not in output
    assert "n/a" in output


def test_truth_as_prediction_scores_one(tmp_path: Path) -> None:
    make_split(tmp_path, "val")
    dataset = CocoPanoptic(str(tmp_path), "val")
    evaluators = [kind(dataset.info) for kind in (PanopticQuality, SemanticIoU, InstanceAP)]
    for index in range(len(dataset)):
        truth = dataset.truth(index)
        for evaluator in evaluators:
            evaluator.update(Prediction(truth.ids, truth.segments, truth.semantic(255)), truth)
    quality, iou, _ = (evaluator.compute() for evaluator in evaluators)
    assert quality["All"]["pq"] == iou["miou"] == 1


@pytest.fixture(scope="module")
def trained_on_streets(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the small network for 19 classes."""
    folder = tmp_path_factory.mktemp("streets")
    (folder / "tiny.yml").write_text(TINY_CONFIG.format(root=scenes))
    arguments = ["--config", str(folder / "tiny.yml"), *CPU, "--save_dir", str(folder / "run")]
    assert train.main([*arguments, "--iters", "1"]) == 0
    return folder / "run" / "iter_1"


def test_weights_for_other_classes_are_told_before_the_first_step(
    tmp_path: Path, trained_on_streets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode in ("train", "val"):
        make_split(tmp_path, mode)
    common = ["--config", str(own_config(tmp_path, tmp_path / "own.yml")), *CPU]
    opts = ["--opts", f"model.pretrained={trained_on_streets}/model.pdparams"]

    assert train.main([*common, "--save_dir", str(tmp_path / "a"), *opts]) == 1
    error = capsys.readouterr().err.strip()
    assert f"{trained_on_streets}" in error
    assert "these weights are for 19 classes, the data set here has 5" in error
    assert error.endswith("to load what fits and train the rest anew: --allow_partial")

    flags = ["--resume_model", str(trained_on_streets), "--save_dir", str(tmp_path / "b")]
    assert train.main([*common, *flags]) == 1
    error = capsys.readouterr().err
    assert "was trained for 19 classes (Cityscapes), the data set here has 5" in error

    assert val.main([*common, "--model_path", str(trained_on_streets)]) == 1
    error = capsys.readouterr().err
    assert "was trained for 19 classes (Cityscapes), the data set here has 5; evaluate" in error

    lonely = tmp_path / "model.pdparams"  # nothing beside it says what it was trained for
    lonely.write_bytes((trained_on_streets / "model.pdparams").read_bytes())
    assert val.main([*common, "--model_path", str(lonely)]) == 1
    assert "these weights are for 19 classes, the data set here has 5" in capsys.readouterr().err

    flags = ["--save_dir", str(tmp_path / "c"), "--opts", "model.num_classes=19"]
    assert train.main([*common, *flags]) == 2
    error = capsys.readouterr().err
    assert "'model.num_classes' is 19, but the data set panoptic_train has 5 classes" in error


def test_fine_tuning_replaces_the_heads_that_do_not_fit_and_says_which(
    tmp_path: Path, trained_on_streets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_split(tmp_path, "train")
    config = own_config(tmp_path, tmp_path / "own.yml")
    arguments = ["--config", str(config), *CPU, "--save_dir", str(tmp_path / "run"), "--iters", "1"]
    opts = ["--allow_partial", "--opts", f"model.pretrained={trained_on_streets}/model.pdparams"]
    assert train.main([*arguments, "--learning_rate", "0", *opts]) == 0
    before = read_weights(trained_on_streets)
    after = read_weights(tmp_path / "run" / "iter_1")
    replaced = [name for name in before if before[name].shape != after[name].shape]
    assert replaced
    output = capsys.readouterr().out
    (line,) = (line for line in output.splitlines() if "Replaced, to be trained anew" in line)
    for name in replaced:
        assert f"{name} {list(before[name].shape)} -> {list(after[name].shape)}" in line
    kept = [name for name in before if name not in replaced and "mean" not in name]
    kept = [name for name in kept if "variance" not in name]
    assert all(np.array_equal(before[name], after[name]) for name in kept)


def test_a_training_begins_with_weights_for_other_classes_and_goes_on_with_its_own(
    tmp_path: Path, trained_on_streets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_split(tmp_path, "train")
    config = own_config(tmp_path, tmp_path / "own.yml")
    run = tmp_path / "run"
    begin = ["--config", str(config), *CPU, "--init", str(trained_on_streets)]
    common = [*begin, "--save_dir", str(run), "--learning_rate", "0"]
    assert train.main([*common, "--resume_model", "auto", "--iters", "1"]) == 0
    told = capsys.readouterr().out
    assert "trained for 19 classes" in told
    assert "anew: sea, boat, buoy, pier; the weights of sky are loaded by name" in told
    before, after = read_weights(trained_on_streets), read_weights(run / "iter_1")
    sky = 10  # of Cityscapes' classes
    np.testing.assert_array_equal(
        after["semantic_head.weight"][3], before["semantic_head.weight"][sky]
    )
    assert train.main([*common, "--resume_model", "auto", "--iters", "2"]) == 0
    assert f"Resumed from {run}/iter_1, --init is not used" in capsys.readouterr().out
    assert train.main([*common, "--resume_model", str(run / "iter_1")]) == 2
    assert "--init starts a training and --resume_model goes on" in capsys.readouterr().err
    other = [*begin[:-1], "street_scenes", "--save_dir", str(tmp_path / "other")]
    assert train.main(other) == 1
    assert "street_scenes: no such weights file, nor a name of the zoo" in capsys.readouterr().err


def test_other_classes_of_the_same_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_split(tmp_path, "train")
    source = make_split(tmp_path, "val")
    config = own_config(tmp_path, tmp_path / "own.yml")
    arguments = ["--config", str(config), *CPU]
    assert train.main([*arguments, "--save_dir", str(tmp_path / "run"), "--iters", "1"]) == 0
    edit(source, lambda c: c["categories"][1].update(name="ship"))
    assert val.main([*arguments, "--model_path", str(tmp_path / "run" / "iter_1")]) == 1
    message = "other classes: class 1 is 'boat' there and 'ship' in panoptic_val"
    assert message in capsys.readouterr().err


def test_evaluation_needs_no_training_split(tmp_path: Path) -> None:
    source = make_split(tmp_path, "train")
    make_split(tmp_path, "val")
    config = own_config(tmp_path, tmp_path / "own.yml")
    arguments = ["--config", str(config), *CPU]
    assert train.main([*arguments, "--save_dir", str(tmp_path / "run"), "--iters", "1"]) == 0
    source.unlink()
    assert val.main([*arguments, "--model_path", str(tmp_path / "run" / "iter_1")]) == 0


@pytest.mark.parametrize(
    ("name", "crop", "pretrained"),
    [("own_data", (384, 512, 3), set()), ("own_data_resnet50", (641, 641, 3), {"backbone"})],
)
def test_the_configurations_for_own_data_need_the_folder_alone(
    tmp_path: Path, name: str, crop: tuple[int, int, int], pretrained: set[str]
) -> None:
    for mode in ("train", "val"):
        make_split(tmp_path, mode)
    opts = [f"{split}.dataset_root={tmp_path}" for split in ("train_dataset", "val_dataset")]
    config = Config(name, opts)
    assert config.info.num_classes == 5
    sample = config.train_dataset[0]
    assert sample["image"].shape == crop
    assert config.val_dataset[0]["frame"].original_size == SIZE
    assert config.pretrained.keys() == pretrained


def test_the_classes_of_coco_need_no_data() -> None:
    (path,) = (ROOT / "configs" / "panoptic_deeplab").glob("*_resnet50_os32_coco_*.yml")
    info = Config(path).info
    assert (info.num_classes, len(info.thing_ids)) == (133, 80)
    assert info.categories[-1].official_id == 200


def test_a_wrong_class_count_in_the_postprocessor(tmp_path: Path) -> None:
    make_split(tmp_path, "train")
    config = Config(own_config(tmp_path, tmp_path / "own.yml"), ["postprocessor.num_classes=7"])
    with pytest.raises(UsageError, match=r"--opts: 'postprocessor\.num_classes' is 7"):
        _ = config.postprocessor
