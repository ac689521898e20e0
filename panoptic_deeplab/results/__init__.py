"""Predictions as files, for people and for programs; each form has a file here.

This file imports nothing, so that a command line can name the forms at once; `folder` makes them.
"""

FORMATS = {
    "images": "overlays, class and instance colors, and ids in COCO panoptic form",
    "coco": "COCO panoptic PNG and JSON alone, image ids as COCO's",
    "coco_instances": "COCO instances in one JSON, masks as RLE, which may overlap",
    "cityscapes": "panoptic, pixel and instance results, zipped as its server takes them",
    "bdd100k": "RGBA bitmasks, and pan_seg.json in Scalabel form",
    "kitti": "KITTI panoptic PNGs",
    "kitti_step": "KITTI-STEP PNGs of class and id, by sequence; with --track ids last",
    "motchallenge_step": "the same with MOTChallenge-STEP's classes",
    "html": "html/index.html, one page for a browser: hover, opacity, classes, a table",
    "csv": "segments.csv, one line per segment",
    "crops": "each thing cut out, the rest transparent",
}
"""The forms by name, and what each writes."""
