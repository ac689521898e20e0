"""The numbers of the official tools on small files, case by case.

`data/conformance` holds, for each case, the files and in `expected.json` what panopticapi,
cityscapesscripts 2.3.0 or bdd100k 1.0.1 says of them (classes that score 0 are left out), or why it
fails.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation import (
    evaluate_bdd100k_files,
    evaluate_instance_files,
    evaluate_panoptic_files,
    evaluate_pixel_files,
)

CASES = Path(__file__).parents[1] / "data" / "conformance"
EXPECTED = json.loads((CASES / "expected.json").read_text())
TOLERANCE = 1e-6

# The official tool fails on these, ours goes on: for the reason, and one number to hold it to.
GOES_ON = {
    "17_no_things_anywhere": (("Things", "pq"), math.nan),  # official: division by zero
    "17b_no_stuff_anywhere": (("Stuff", "pq"), math.nan),  # the same
    # official: no more than 100 segments; with its MAX_DET raised it says this number
    "20_152_segments": (("PQ", "OVERALL"), 87.9342396611242),
}

# What the message names besides the case's folder: the file, the id or size, and the cause.
MESSAGES = {
    "07_json_seg_not_in_png": ("im0.png", "segment 999", "which no pixel of its map has"),
    "08_png_seg_not_in_json": ("im0.png", "id 26001", "which none of its 4 segments has"),
    "09_unknown_category": ("pred.json", "segment 26001", "unknown category_id 99"),
    "12_size_mismatch": ("im0.png", "40x61", "annotation is 40x60"),
    "13_missing_image": ("pred.json", "no prediction for image 'im1'"),
    "24_missing_png": ("im0.png", "no such file"),
    "04_trainids_instead": ("_pred.png", "255", "label ids are wanted, not train ids"),
    "06_size_mismatch": ("_pred.png", "96x159", "annotation is 96x160"),
    "07_rgb_pred": ("_pred.png", "one channel", "got 3 channels"),
    "08_missing_pred": ("results: no such folder",),
    "09_two_preds": ("aachen_000000_000019*.png", "got several", "_a.png", "_b.png"),
    "06_missing_txt": ("results: no such folder",),
    "09_mask_not_found": ("nope.png", "no such file"),
    "10_mask_size": ("aachen_000000_000019_0.png", "95x160", "annotation is 96x160"),
    "12_unknown_label": ("aachen_000000_000019.txt, line 1", "label id 99", "does not exist"),
    "21_size_mismatch": ("x.png", "40x59", "annotation is 40x60"),
    "22_rgb_instead_of_rgba": ("x.png", "expected an RGBA bitmask", "RGB"),
}


def evaluate(suite: str, folder: Path) -> dict:
    if suite == "pq":
        files = folder / "gt.json", folder / "gt", folder / "pred.json", folder / "pred"
        return evaluate_panoptic_files(*files)
    if suite == "bdd_bitmask":
        return evaluate_bdd100k_files(folder / "gt", folder / "pred")
    of_cityscapes = {"pixel": evaluate_pixel_files, "instance": evaluate_instance_files}
    return of_cityscapes[suite](folder / "gtFine", folder / "results")


def cases(outcome: str) -> list:
    return [
        pytest.param(suite, name, id=f"{suite}-{name}")
        for suite, entries in EXPECTED.items()
        for name, entry in entries.items()
        if outcome in entry
    ]


@pytest.mark.parametrize(("suite", "name"), cases("result"))
def test_the_numbers_are_the_official_ones(suite, name):
    results = evaluate(suite, CASES / suite / name)
    check(results, EXPECTED[suite][name]["result"], name)


@pytest.mark.parametrize(("suite", "name"), cases("error"))
def test_where_the_official_tool_fails(suite, name):
    if name in GOES_ON:
        (group, key), number = GOES_ON[name]
        value = evaluate(suite, CASES / suite / name)[group][key]
        assert value == pytest.approx(number, nan_ok=True)
        return
    with pytest.raises(DataError) as error:
        evaluate(suite, CASES / suite / name)
    assert all(part in str(error.value) for part in MESSAGES[name])


def check(results, expected, place):
    """Compares every number of `expected`; classes that it leaves out are 0."""
    for key, wanted in expected.items():
        got = results[int(key) if key.isdigit() else key]
        where = f"{place} / {key}"
        if isinstance(wanted, dict):
            check(got, wanted, where)
        elif wanted is None:
            assert math.isnan(got), where
        else:
            assert got == pytest.approx(wanted, abs=TOLERANCE), where
    if place.endswith("per_class"):
        others = [value for key, value in results.items() if str(key) not in expected]
        assert all(value in (0, {"pq": 0, "sq": 0, "rq": 0}) for value in others), place
