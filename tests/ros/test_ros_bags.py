"""A bag of images in, a bag of their panoptic segmentation out, without ROS."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from conftest import TINY_CONFIG
from robots import find_toys, toy_image
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from panoptic_deeplab.cli.main import main
from panoptic_deeplab.config import Config
from panoptic_deeplab.engine.interruption import StoppedError
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import write_json
from panoptic_deeplab.formats.images import encode_image
from panoptic_deeplab.ros.bag import predict_bag
from panoptic_deeplab.ros.messages import image_content
from panoptic_deeplab.ros.topics import drawn_topics

ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_JAZZY)
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TIMES = [1_700_000_000_000_000_001 + k * 100_000_000 for k in range(3)]
"""Of the records, in nanoseconds; the stamps are 5 ms earlier."""
DRAWN = drawn_topics("/seen", None)


def header(types: Any, time: int, frame_id: str = "camera") -> Any:
    stamp = types["builtin_interfaces/msg/Time"](*divmod(time - 5_000_000, 1_000_000_000))
    sequence = {"seq": 7} if types is ROS1.types else {}
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id, **sequence)


def image(types: Any, time: int, pixels: np.ndarray, **change: Any) -> Any:
    content = image_content(pixels)._asdict() | change
    content["data"] = np.frombuffer(content["data"], np.uint8)
    return types[IMAGE](header=header(types, time), **content)


def compressed(types: Any, time: int, pixels: np.ndarray) -> Any:
    data = np.frombuffer(encode_image(pixels, ".png"), np.uint8)
    return types[COMPRESSED](header=header(types, time), format="png", data=data)


def write_bag(path: Path, messages: list[tuple[str, int, Any]], plugin: Any = None) -> Path:
    """A bag of ROS 1 if its name ends in .bag, else of ROS 2."""
    if path.suffix == ".bag":
        writer, store, serialize = Writer1(path), ROS1, ROS1.serialize_ros1
    else:
        plugin = plugin or StoragePlugin.SQLITE3
        writer, store = Writer2(path, version=9, storage_plugin=plugin), ROS2
        serialize = ROS2.serialize_cdr
    with writer:
        connections: dict[str, Any] = {}
        for topic, time, message in messages:
            kind = IMAGE if isinstance(message, bytes) else message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            raw = message if isinstance(message, bytes) else serialize(message, kind)
            writer.write(connections[topic], time, raw)
    return path


def camera(types: Any = ROS2.types, make: Callable[..., Any] = image) -> list[Any]:
    """Three images of growing width; the toy of the last is segment 300."""
    return [
        ("/camera", time, make(types, time, toy_image(red, width=width)))
        for time, red, width in zip(TIMES, (150, 150, 255), (6, 9, 12), strict=True)
    ]


def read_bag(path: Path) -> dict[str, list[tuple[int, int, str, np.ndarray]]]:
    """Topic -> time of the record, stamp, frame and pixels of each image."""
    found: dict[str, list[Any]] = {}
    with AnyReader([path]) as reader:
        for connection, time, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            kind, channels = {
                "mono8": (np.uint8, 1),
                "16UC1": ("<u2", 1),
                "rgb8": (np.uint8, 3),
            }[message.encoding]
            pixels = message.data.view(kind).reshape(message.height, message.width, channels)
            stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
            entry = (
                time,
                stamp,
                message.header.frame_id,
                pixels.squeeze(-1) if channels == 1 else pixels,
            )
            found.setdefault(connection.topic, []).append(entry)
    return found


def check_toys(path: Path) -> None:
    found = read_bag(path)
    assert set(found) == {"/seen/instance", "/seen/semantic"}
    for entries in found.values():
        assert [entry[:3] for entry in entries] == [
            (time, time - 5_000_000, "camera") for time in TIMES
        ]
    ids = [entry[3][0].tolist() for entry in found["/seen/instance"]]
    assert ids == [[2] * 2 + [1] * 4, [2] * 3 + [1] * 6, [300] * 4 + [1] * 8]
    classes = [entry[3][0].tolist() for entry in found["/seen/semantic"]]
    assert classes == [[1] * 2 + [0] * 4, [1] * 3 + [0] * 6, [1] * 4 + [0] * 8]


@pytest.mark.parametrize("make", [image, compressed])
@pytest.mark.parametrize("kind", ["sqlite", "mcap", "drive.bag"])
def test_images_of_a_bag(tmp_path: Path, kind: str, make: Callable[..., Any]) -> None:
    types = ROS1.types if kind.endswith(".bag") else ROS2.types
    plugin = StoragePlugin.MCAP if kind == "mcap" else None
    bag = write_bag(tmp_path / kind, camera(types, make), plugin)
    predict_bag(find_toys, bag, tmp_path / "out", "/camera", DRAWN)
    check_toys(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["metadata.yaml", "out.db3"]
    assert len(list(tmp_path.iterdir())) == 2, "no remains"


def test_the_only_topic_of_images_needs_no_name(tmp_path: Path) -> None:
    other = ("/other", TIMES[0], header(ROS2.types, TIMES[0]))
    bag = write_bag(tmp_path / "drive", [other, *camera()])
    predict_bag(find_toys, bag, tmp_path / "out", None, DRAWN)
    check_toys(tmp_path / "out")


@pytest.mark.parametrize("topic", [None, "/lidar"])
def test_other_topics_are_named(tmp_path: Path, topic: str | None) -> None:
    second = ("/rear", TIMES[0], compressed(ROS2.types, TIMES[0], toy_image(150)))
    bag = write_bag(tmp_path / "drive", [second, *camera()])
    asked = "one topic of images" if topic is None else "images under /lidar"
    with pytest.raises(UsageError, match=f"expected {asked}, it has /camera, /rear; name"):
        predict_bag(find_toys, bag, tmp_path / "out", topic, DRAWN)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (b"", "no sensor_msgs/msg/Image"),
        (b"\0\1\0\0" + b"\xff" * 40, "no sensor_msgs/msg/Image"),
        (image(ROS2.types, 5, toy_image(150), encoding="32FC1"), "got encoding '32FC1'"),
        (image(ROS2.types, 5, toy_image(150), height=9), "expected 9 rows of 18 bytes"),
    ],
)
def test_a_broken_message_is_told_and_passed_over(
    tmp_path: Path, broken: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    messages = camera()
    bag = write_bag(tmp_path / "drive", [("/camera", TIMES[0] + 1, broken), *messages])
    with pytest.raises(DataError) as error:
        predict_bag(find_toys, bag, tmp_path / "out", None, DRAWN)
    assert "out holds the results of 3 of 4 images; passed over: the message" in str(error.value)
    assert "of /camera at 1700000000.000000" in str(error.value)
    assert told in str(error.value)
    assert "Passed over the message of /camera" in caplog.text
    check_toys(tmp_path / "out")


def test_a_bag_without_a_good_image_makes_none(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "drive", [("/camera", 5, b"nothing")])
    with pytest.raises(DataError, match="drive: no image could be predicted; passed over: the"):
        predict_bag(find_toys, bag, tmp_path / "out", None, DRAWN)
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]


def test_ctrl_c_ends_the_bag_with_the_image_at_hand(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "drive", camera())

    def interrupted(pixels: np.ndarray) -> Any:
        if pixels.shape[1] == 9:
            signal.raise_signal(signal.SIGINT)
        return find_toys(pixels)

    with pytest.raises(StoppedError, match="out holds the results of 2 of 3 images"):
        predict_bag(interrupted, bag, tmp_path / "out", None, DRAWN)
    assert [len(entries) for entries in read_bag(tmp_path / "out").values()] == [2, 2]


def damaged(bag: Path, start: int = 100, count: int | None = None) -> Path:
    """Overwrite bytes of the database; all but its first by default."""
    (file,) = bag.glob("*.db3")
    content = bytearray(file.read_bytes())
    end = len(content) if count is None else start + count
    content[start:end] = b"\xa5" * (end - start)
    file.write_bytes(content)
    return bag


def test_the_images_before_a_damage_are_kept(tmp_path: Path) -> None:
    large = toy_image(150, 100, 200)
    messages = [("/camera", time, image(ROS2.types, time, large)) for time in TIMES]
    bag = damaged(write_bag(tmp_path / "drive", messages), 2 * large.nbytes, 9000)
    with pytest.raises(DataError, match="of 3 images; passed over: the rest of the bag"):
        predict_bag(find_toys, bag, tmp_path / "out", None, DRAWN)
    assert 1 <= len(read_bag(tmp_path / "out")["/seen/instance"]) < 3


@pytest.mark.parametrize("kind", ["missing", "folder", "metadata", "database", "drive.bag"])
def test_what_is_no_bag(tmp_path: Path, kind: str) -> None:
    bag = tmp_path / kind
    if kind == "folder":
        bag.mkdir()
    elif kind == "metadata":
        write_bag(bag, camera())
        (bag / "metadata.yaml").write_text("{")
    elif kind == "database":
        damaged(write_bag(bag, camera()))
    elif kind.endswith(".bag"):
        bag.write_bytes(b"#ROSBAG V2.0\n" + b"\xff" * 100)
    with pytest.raises(DataError) as error:
        predict_bag(find_toys, bag, tmp_path / "out", None, DRAWN)
    assert "bag" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_bags_need_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panoptic_deeplab.ros.bag.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'panoptic-deeplab\[ros\]'"):
        predict_bag(find_toys, tmp_path / "drive", tmp_path / "out", None, DRAWN)


def test_results_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="out: is there already"):
        predict_bag(find_toys, tmp_path / "drive", tmp_path / "out", None, DRAWN)


def test_the_command_with_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "model"
    checkpoint.mkdir()
    (checkpoint / "config.yml").write_text(TINY_CONFIG.format(root=tmp_path / "nowhere"))
    config = Config(checkpoint / "config.yml")
    paddle.save(config.model.state_dict(), str(checkpoint / "model.pdparams"))
    write_json(checkpoint / "dataset_info.json", config.info.to_dict())
    scene = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    messages = [("/camera", time, image(ROS2.types, time, scene)) for time in TIMES]
    bag = write_bag(tmp_path / "drive", messages)
    words = ["ros", "--model_path", str(checkpoint), "--device", "cpu", "--bag", str(bag)]
    assert main([*words, "--save_dir", str(tmp_path / "out")]) == 0
    assert "out holds the results of 3 of 3 images" in capsys.readouterr().out
    found = read_bag(tmp_path / "out")
    assert [len(entries) for entries in found.values()] == [3, 3, 3]
    assert found["/opendr/panoptic/semantic"][0][3].shape == (40, 64)
    assert found["/opendr/panoptic/rgb_visualization"][0][3].ndim == 3
