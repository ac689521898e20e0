"""The node of ROS 2 with stand-ins for ROS: what it publishes for the messages that it gets."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from robots import INFO, Node, find_toys, toy_image

from panoptic_deeplab.cli import ros
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.formats.images import encode_image
from panoptic_deeplab.inference.tracked import ResultTracker
from panoptic_deeplab.ros.messages import image_content
from panoptic_deeplab.ros.node import PanopticNode, spin
from panoptic_deeplab.ros.topics import drawn_topics

HEADER = SimpleNamespace(stamp=SimpleNamespace(sec=12, nanosec=34), frame_id="camera")


def image_message(image: np.ndarray, **change: Any) -> SimpleNamespace:
    return SimpleNamespace(header=HEADER, **image_content(image)._asdict() | change)


def answering(node: Node, **more: Any) -> PanopticNode:
    drawn = drawn_topics("/seen", "/seen/overlay", **more)
    return PanopticNode(node, find_toys, drawn, SimpleNamespace)


def values(message: SimpleNamespace) -> list[list[int]]:
    kind = {"mono8": np.uint8, "16UC1": "<u2"}[message.encoding]
    return np.frombuffer(message.data, kind).reshape(message.height, message.width).tolist()


def test_what_is_published_for_an_image() -> None:
    node = Node()
    answering(node).answer(image_message(toy_image(150)))
    (instance,), (semantic,), (overlay,) = (
        node.published[topic] for topic in ("/seen/instance", "/seen/semantic", "/seen/overlay")
    )
    assert values(instance) == [[2, 2, 1, 1, 1, 1]] * 4
    assert values(semantic) == [[1, 1, 0, 0, 0, 0]] * 4
    assert overlay.encoding == "rgb8"
    assert len(overlay.data) == overlay.height * overlay.step
    assert {id(message.header) for message in (instance, semantic, overlay)} == {id(HEADER)}


def test_ids_above_255_are_kept() -> None:
    node = Node()
    answering(node).answer(image_message(toy_image(255)))
    (instance,) = node.published["/seen/instance"]
    assert instance.encoding == "16UC1"
    assert values(instance)[0] == [300, 300, 1, 1, 1, 1]


def test_compressed_images() -> None:
    node = Node()
    content = encode_image(toy_image(150), ".png")
    answering(node).answer_compressed(SimpleNamespace(header=HEADER, format="png", data=content))
    assert values(node.published["/seen/instance"][0])[0] == [2, 2, 1, 1, 1, 1]


def test_a_broken_image_is_logged_and_passed_over() -> None:
    node = Node()
    panoptic_node = answering(node)
    panoptic_node.answer(image_message(toy_image(150), data=b""))
    panoptic_node.answer(image_message(toy_image(150)))
    (told,) = node.errors
    assert told.startswith("an image is passed over: expected 4 rows of 18 bytes")
    assert len(node.published["/seen/instance"]) == 1


def test_an_image_that_is_too_large_is_passed_over() -> None:
    node = Node()

    def full(pixels: np.ndarray) -> None:
        raise MemoryError("no room")

    PanopticNode(node, full, drawn_topics("/seen", None), SimpleNamespace).answer(
        image_message(toy_image(150))
    )
    assert "needs more memory than there is (no room)" in node.errors[0]


def test_nothing_is_predicted_while_nobody_listens() -> None:
    node = Node(listeners=0)
    answering(node).answer(image_message(toy_image(150), encoding="unknown"))
    assert not node.errors
    assert not any(node.published.values())


def test_topics_can_be_left_out_and_the_overview_is_wider() -> None:
    assert list(drawn_topics(None, "/overlay")) == ["/overlay"]
    assert list(drawn_topics("/seen", None)) == ["/seen/instance", "/seen/semantic"]
    result = find_toys(toy_image(150, 40, 60))
    overview = drawn_topics(None, "/o", detailed=True)["/o"](result)
    assert overview.shape[1] > 4 * 60
    assert overview.dtype == np.uint8


def test_tracked_ids_last_until_the_size_changes() -> None:
    """The toy is segment 2 first and 300 then; its track is 1 all the while."""
    node = Node()
    tracker = ResultTracker(INFO)
    drawn = drawn_topics("/seen", None, tracked=True)
    panoptic_node = PanopticNode(
        node, lambda image: tracker(find_toys(image)), drawn, SimpleNamespace
    )
    for image in (toy_image(150), toy_image(255), toy_image(255, width=9)):
        panoptic_node.answer(image_message(image))
    rows = [values(message)[0] for message in node.published["/seen/instance"]]
    assert rows == [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [2, 2, 2, 0, 0, 0, 0, 0, 0]]
    assert not node.errors


def module(name: str, **content: Any) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(content)
    return made


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A ROS 2 that delivers one image to each subscription and is stopped by Ctrl-C."""
    node, ros2 = Node(), SimpleNamespace(words=None, subscriptions={}, ended=0)

    def spin_node(_: Node) -> None:
        for _, callback in ros2.subscriptions.values():
            callback(ros2.message)
        raise KeyboardInterrupt

    def end() -> None:
        ros2.ended += 1

    node.get_logger = lambda: SimpleNamespace(error=node.errors.append, info=lambda text: None)
    node.create_subscription = lambda kind, topic, callback, qos: ros2.subscriptions.update(
        {topic: (kind, callback)}
    )
    image = type("Image", (SimpleNamespace,), {})
    compressed = type("CompressedImage", (SimpleNamespace,), {})
    rclpy = module(
        "rclpy",
        init=lambda args: setattr(ros2, "words", args),
        create_node=lambda name: node,
        spin=spin_node,
        try_shutdown=end,
    )
    modules = {
        "rclpy": rclpy,
        "rclpy.executors": module("rclpy.executors", ExternalShutdownException=RuntimeError),
        "rclpy.qos": module(
            "rclpy.qos",
            QoSProfile=lambda **given: given,
            ReliabilityPolicy=SimpleNamespace(BEST_EFFORT=2),
        ),
        "sensor_msgs": module("sensor_msgs"),
        "sensor_msgs.msg": module("sensor_msgs.msg", Image=image, CompressedImage=compressed),
    }
    for name, made in modules.items():
        monkeypatch.setitem(sys.modules, name, made)
    ros2.node = node
    return ros2


@pytest.mark.parametrize("topic", ["/camera", "/camera/compressed"])
def test_the_node_runs_until_ctrl_c(system: SimpleNamespace, topic: str) -> None:
    image = toy_image(150)
    system.message = (
        SimpleNamespace(header=HEADER, format="png", data=encode_image(image, ".png"))
        if "compressed" in topic
        else image_message(image)
    )
    spin(find_toys, topic, drawn_topics("/seen", None), ["--ros-args", "-r", "a:=b"])
    kind, _ = system.subscriptions[topic]
    assert kind.__name__ == ("CompressedImage" if "compressed" in topic else "Image")
    assert values(system.node.published["/seen/instance"][0])[0] == [2, 2, 1, 1, 1, 1]
    assert (system.words, system.ended) == (["--ros-args", "-r", "a:=b"], 1)


def test_without_ros_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy", None)
    with pytest.raises(UsageError, match=r"source /opt/ros/DISTRO/setup\.bash"):
        spin(find_toys, "/camera", drawn_topics("/seen", None))


def test_the_flags_are_opendrs(system: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    system.message = image_message(toy_image(150))
    asked: list[tuple[Any, ...]] = []

    def load(*given: Any) -> Any:
        asked.append(given)
        return find_toys

    monkeypatch.setattr("panoptic_deeplab.inference.model.load_model", load)
    words = "-i /camera -oh /maps -ov none --checkpoint kitti --device cpu --detailed_visualization"
    assert ros.main([*words.split(), "--ros-args", "--remap", "__node:=eyes"]) == 0
    assert asked == [("efficientps_b5_kitti", "cpu", None)]
    assert list(system.subscriptions) == ["/camera"]
    assert list(system.node.published) == ["/maps/instance", "/maps/semantic"]
    assert system.words == ["--ros-args", "--remap", "__node:=eyes"]


def test_with_track_ids_are_those_of_tracks(
    system: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.message = image_message(toy_image(255))  # segment 300

    class Toys:
        info = INFO
        __call__ = staticmethod(find_toys)

    monkeypatch.setattr("panoptic_deeplab.inference.model.load_model", lambda *given: Toys())
    assert ros.main(["-oh", "/seen", "-ov", "none", "--track"]) == 0
    assert values(system.node.published["/seen/instance"][0])[0] == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--bag drive", "--bag and --save_dir go together"),
        ("-oh none -ov None", "leave nothing to publish"),
    ],
)
def test_wrong_flags(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ros.main(words.split()) == 2
    assert told in capsys.readouterr().err
