"""Conversion of annotations from one format to another.

A source lists the annotated images and reads each into a `PanopticMap`; a target writes such maps
into a folder, and a JSON of all images if its format has one. `run.convert` joins the two:

    from pathlib import Path
    from panoptic_deeplab.convert.classes import classes_of_names
    from panoptic_deeplab.convert.objects import open_labelme
    from panoptic_deeplab.convert.run import convert
    from panoptic_deeplab.convert.targets import CocoPanopticTarget

    folder, info = Path("labels"), classes_of_names(things="car,person", stuff="road,sky")
    source = open_labelme(folder, folder, info, overlap="last", ignore_unknown=False)
    convert(source, CocoPanopticTarget(Path("data/mine"), "train", info), num_workers=4)

Sources: `open_cityscapes`, `open_bitmasks`, `open_scalabel`, `open_kitti`, `open_coco_panoptic` in
`sources`; `open_coco_instances`, `open_labelme` in `objects`. Targets: `CocoPanopticTarget`,
`CityscapesTarget`, `Bdd100kTarget` in `targets`. `prepare_cityscapes.prepare_cityscapes` makes a
downloaded Cityscapes ready for training.
"""
