"""Run a model.onnx with post-processing on images. Needs numpy, OpenCV (or Pillow), onnxruntime.

Neither Paddle nor the package that made the file is needed: classes and colors are in the file.
Each image gives NAME_ids.png (id = R + 256 G + 65536 B), NAME.json and NAME_overlay.png.
"""

import argparse
import json
import sys
import time
from pathlib import Path

METADATA_KEY = "panoptic_deeplab.deploy"
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


def main(argv=None):
    """Run the command line; return the exit code."""
    example = "example: python run_onnx.py --model model.onnx --image street.png --save_dir out"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog=example)
    parser.add_argument("--model", required=True, help="an ONNX file made with --with_postprocess")
    parser.add_argument("--image", required=True, type=Path, help="an image or a folder of images")
    parser.add_argument("--save_dir", type=Path, default=Path("output"), help="where results go")
    arguments = parser.parse_args(argv)
    try:
        predict(arguments)
        return 0
    except (ImportError, OSError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


def predict(arguments):
    """Run the model on every image."""
    images = find_images(arguments.image)
    session, classes = load_model(arguments.model)
    arguments.save_dir.mkdir(parents=True, exist_ok=True)
    for path in images:
        image = read_image(path)
        start = time.perf_counter()
        result = run_model(session, image, arguments.model)
        seconds = time.perf_counter() - start
        segments = segments_of(result, classes)
        save(arguments.save_dir / path.stem, image, result["panoptic"][0], segments, classes)
        print(f"{path}: {len(segments)} segments in {seconds:.3f} s")


def find_images(path):
    """The image, or the images of the folder, sorted."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not found:
        raise ValueError(f"{path}: no image found")
    return found


def load_model(path):
    """The session and the classes of the model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions, which share no base class
        raise ValueError(f"{path}: not a readable ONNX file ({str(error)[:200]})") from error
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        raise ValueError(f"{path}: another kind of ONNX file; expected an exported model")
    deployment = json.loads(metadata[METADATA_KEY])
    if not deployment["with_postprocess"]:
        raise ValueError(f"{path}: has no post-processing; export again with --with_postprocess")
    return session, deployment["classes"]["categories"]


def run_model(session, image, path):
    """The outputs by name for one image [H, W, 3] uint8 RGB."""
    try:
        values = session.run(None, {"image": image[None]})
    except Exception as error:  # as above
        raise ValueError(f"{path}: cannot be run ({str(error)[:200]})") from error
    return dict(zip([output.name for output in session.get_outputs()], values))  # noqa: B905


def segments_of(result, classes):
    """The segments as dictionaries."""
    count = int(result["segment_count"][0])
    rows = [result["segment_" + what][0][:count] for what in ("class", "score", "area")]
    return [
        {
            "id": i + 1,
            "category_id": classes[int(category)]["id"],
            "category": classes[int(category)]["name"],
            "isthing": classes[int(category)]["isthing"],
            "score": round(float(score), 4),
            "area": int(area),
        }
        for i, (category, score, area) in enumerate(zip(*rows))  # noqa: B905
    ]


def save(stem, image, ids, segments, classes):
    """Write the ids, the list of segments and the image with their colors."""
    import numpy as np

    channels = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)
    write_image(stem.with_name(stem.name + "_ids.png"), channels)
    text = json.dumps({"segments_info": segments}, indent=1)
    stem.with_name(stem.name + ".json").write_text(text)
    color_of = {entry["id"]: entry["color"] for entry in classes}
    table = np.zeros((len(segments) + 1, 3))
    for segment in segments:  # instances of a class in shades of its color
        shade = 0.6 + 0.4 * (segment["id"] * 0.618 % 1) if segment["isthing"] else 1
        table[segment["id"]] = np.array(color_of[segment["category_id"]]) * shade
    weight = 0.5 * (ids > 0)[..., None]
    overlay = image * (1 - weight) + table[ids] * weight
    write_image(stem.with_name(stem.name + "_overlay.png"), overlay.astype(np.uint8))


def read_image(path):
    """[H, W, 3] uint8 RGB."""
    import numpy as np

    try:
        import cv2
    except ImportError:
        from PIL import Image

        return np.asarray(Image.open(path).convert("RGB"))
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path}: not a readable image")
    return np.ascontiguousarray(image[..., ::-1])


def write_image(path, image):
    """Write [H, W, 3] uint8 RGB."""
    try:
        import cv2
    except ImportError:
        from PIL import Image

        Image.fromarray(image).save(path)
    else:
        path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


if __name__ == "__main__":
    sys.exit(main())
