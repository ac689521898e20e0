"""Run a model.onnx with post-processing on images. Needs numpy, Pillow and onnxruntime.

Neither Paddle nor the package that made the file is needed: classes and colors are in the file.
Each image gives NAME_ids.png (id = R + 256 G + 65536 B), NAME.json and NAME_overlay.png.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

try:
    import numpy as np
    import onnxruntime
    from PIL import Image, ImageOps
except ImportError as error:
    if not {"-h", "--help"} & {*sys.argv}:
        sys.exit(f"error: {error}; pip install numpy pillow onnxruntime")

METADATA_KEY = "panoptic_deeplab.deploy"
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}


def main(argv=None):
    """Run the command line; return 0, or the message of an error for `sys.exit`."""
    example = "example: python run_onnx.py --model model.onnx --image street.png --save_dir out"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog=example)
    parser.add_argument("--model", required=True, help="an ONNX file made with --with_postprocess")
    parser.add_argument("--image", required=True, type=Path, help="an image or a folder of images")
    parser.add_argument("--save_dir", type=Path, default=Path("output"), help="where results go")
    arguments = parser.parse_args(argv)
    sys.stdout.reconfigure(errors="backslashreplace")  # for names that are not UTF-8
    try:
        images = find_images(arguments.image, arguments.save_dir)
        model = load_model(arguments.model)
    except (OSError, ValueError) as error:
        return f"error: {' '.join(str(error).split())}"
    failed = sum(predict(path, arguments.save_dir / name, *model) for name, path in images.items())
    return f"error: {failed} of {len(images)} images failed" if failed else 0


def find_images(path, save_dir):
    """The image, or those below the folder without earlier results, each with a name of its own."""
    files = [path] if path.is_file() else sorted(files_below(path, {os.path.realpath(save_dir)}))
    if not files:
        raise ValueError(f"{path}: no image found")
    root, images = (path.parent if path.is_file() else path), {}
    stems = {file: file.relative_to(root).with_suffix("").as_posix() for file in files}
    times = Counter(stems.values())
    for file, stem in stems.items():
        name = stem if times[stem] == 1 else f"{stem}_{file.suffix[1:]}"
        while name in images or (name != stem and name in times):
            name += "_"
        images[name] = file
    return images


def files_below(folder, seen):
    """The images below a folder, through links, each folder once and none of `seen`."""
    for place, below, names in os.walk(folder, followlinks=True):
        if os.path.realpath(place) in seen:
            below.clear()
        else:
            seen.add(os.path.realpath(place))
            visible = (Path(place, name) for name in names if not name.startswith("."))
            yield from (file for file in visible if file.suffix.lower() in SUFFIXES)


def load_model(path):
    """The session and the classes of the model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions, which share no base class
        raise ValueError(f"{path}: not a readable ONNX file ({str(error)[:200]})") from error
    deployment = json.loads(session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "{}"))
    if not deployment.get("with_postprocess"):
        raise ValueError(f"{path}: not an exported model with its post-processing; export again")
    return session, deployment["classes"]["categories"]


def predict(path, stem, session, classes):
    """Run the model on one image; return 1, after a line that says why, if that fails."""
    try:
        image, start = read_image(path), time.perf_counter()
        values = session.run(None, {"image": image[None]})
        result = {output.name: v for output, v in zip(session.get_outputs(), values)}  # noqa: B905
        segments, seconds = segments_of(result, classes), time.perf_counter() - start
        save(stem, image, result["panoptic"][0], segments, classes)
    except Exception as error:  # a broken image, and the runtime, can raise anything
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        print(f"skipped: {path}: {reason}", file=sys.stderr)
        return 1
    print(f"{path}: {len(segments)} segments in {seconds:.3f} s")
    return 0


def segments_of(result, classes):
    """The segments as dictionaries."""
    count = int(result["segment_count"][0])
    rows = [result["segment_" + what][0][:count] for what in ("class", "score", "area")]
    kinds = [(c["id"], c["name"], c["isthing"]) for c in classes]
    keys = ("id", "category_id", "category", "isthing", "score", "area")
    return [
        dict(zip(keys, (i, *kinds[int(label)], round(float(score), 4), int(area))))  # noqa: B905
        for i, (label, score, area) in enumerate(zip(*rows), 1)  # noqa: B905
    ]


def save(stem, image, ids, segments, classes):
    """Write the ids, the list of segments and the image with their colors."""
    channels = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)
    stem.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(channels).save(f"{stem}_ids.png")
    Path(f"{stem}.json").write_text(json.dumps({"segments_info": segments}, indent=1))
    color_of = {entry["id"]: entry["color"] for entry in classes}
    table = np.zeros((len(segments) + 1, 3))
    for segment in segments:  # instances of a class in shades of its color
        shade = 0.6 + 0.4 * (segment["id"] * 0.618 % 1) if segment["isthing"] else 1
        table[segment["id"]] = np.array(color_of[segment["category_id"]]) * shade
    overlay = np.where(ids[..., None] > 0, (image + table[ids]) / 2, image)
    Image.fromarray(overlay.astype(np.uint8)).save(f"{stem}_overlay.png")


def read_image(path):
    """[H, W, 3] uint8 RGB, upright; values of more than 8 bits scaled by the depth they use."""
    with Image.open(path, formats=("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")) as image:
        deep = len(image.getbands()) > 1 and any(m in str(image.tile) for m in (";16", "65535"))
        image.load()
    values = np.asarray(image if image.mode[0] == "I" else image.convert("RGB"))
    if image.mode == "F":
        raise ValueError("floating-point values have no brightness of their own")
    if deep and values.max() <= 64:  # perhaps not 16 bits, of which Pillow keeps the upper 8
        import cv2  # which keeps all

        values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., 2::-1]
    if values.dtype != np.uint8:
        depth = next(bits for bits in (8, 10, 12, 14, 16, 24, 32) if values.max() < 1 << bits)
        values = (np.maximum(values, 0) >> (depth - 8)).astype(np.uint8)
    pixels = Image.fromarray(values).convert("RGB")
    pixels.info = image.info  # of a TIFF, which is turned when it is read, without an orientation
    return np.asarray(ImageOps.exif_transpose(pixels))


if __name__ == "__main__":
    sys.exit(main())
