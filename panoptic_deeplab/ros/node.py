"""A node of ROS 2: images of one topic in, their panoptic segmentation out.

rclpy and sensor_msgs come with a ROS 2 installation, not from PyPI, and are imported by `spin`;
`PanopticNode` takes a node by its methods.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from panoptic_deeplab.errors import UsageError, UserError
from panoptic_deeplab.inference.memory import error_for_lack_of_memory
from panoptic_deeplab.result import Result
from panoptic_deeplab.ros.messages import image_content, read_compressed_image, read_image
from panoptic_deeplab.ros.topics import Draw

NODE_NAME = "panoptic_segmentation"
COMPRESSED_ENDING = "/compressed"
"""Of topics that carry compressed images, as image_transport names them."""

_QUEUE = 10


class PanopticNode:
    """Predicts each image that arrives and publishes what somebody listens to.

    Args:
        node: an rclpy node.
        model: an image [H, W, 3] uint8 RGB -> its result.
        drawn: topic -> function of the result that makes its image.
        image_type: the class sensor_msgs.msg.Image.
    """

    def __init__(
        self,
        node: Any,
        model: Callable[[np.ndarray], Result],
        drawn: Mapping[str, Draw],
        image_type: Callable[[], Any],
    ) -> None:
        self._log = node.get_logger()
        self._model = model
        self._drawn = drawn
        self._image_type = image_type
        self._publishers = {
            topic: node.create_publisher(image_type, topic, _QUEUE) for topic in drawn
        }

    def answer(self, message: Any) -> None:
        """Predict a sensor_msgs/Image; a broken one is logged and passed over."""
        self._answer(message, read_image)

    def answer_compressed(self, message: Any) -> None:
        """Predict a sensor_msgs/CompressedImage; a broken one is logged and passed over."""
        self._answer(message, read_compressed_image)

    def _answer(self, message: Any, read: Callable[[Any], np.ndarray]) -> None:
        wanted = [
            (self._drawn[topic], publisher)
            for topic, publisher in self._publishers.items()
            if publisher.get_subscription_count() > 0
        ]
        if not wanted:
            return
        try:
            with error_for_lack_of_memory("it"):
                result = self._model(read(message))
        except UserError as error:
            self._log.error(f"an image is passed over: {error}")
            return
        for draw, publisher in wanted:
            publisher.publish(self._message(draw(result), message.header))

    def _message(self, image: np.ndarray, header: Any) -> Any:
        """Make a message with the header of the one that it answers: its stamp and its frame."""
        message = self._image_type()
        message.header = header
        for name, value in image_content(image)._asdict().items():
            # rclpy checks bytes one by one, an array by its type
            setattr(message, name, array.array("B", value) if name == "data" else value)
        return message


def refuse_no_ros() -> None:
    """Refuse a Python without ROS 2.

    Raises:
        UsageError: rclpy or sensor_msgs cannot be imported.
    """
    try:
        import rclpy  # noqa: F401
        import sensor_msgs.msg  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"ROS 2 is not there ({error}); source /opt/ros/DISTRO/setup.bash first and use the "
            "Python that it was built for, or predict a bag, which needs no ROS: --bag"
        ) from error


def spin(
    model: Callable[[np.ndarray], Result],
    input_topic: str,
    drawn: Mapping[str, Draw],
    words: list[str] | None = None,
) -> None:
    """Run the node until Ctrl-C or a shutdown of ROS.

    Args:
        model: an image [H, W, 3] uint8 RGB -> its result.
        input_topic: of the images; one that ends in `/compressed` carries compressed ones.
        drawn: topic -> function of the result that makes its image.
        words: arguments for ROS, behind `--ros-args`.

    Raises:
        UsageError: this Python has no ROS 2.
    """
    refuse_no_ros()
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CompressedImage, Image

    rclpy.init(args=words)
    try:
        node = rclpy.create_node(NODE_NAME)
        answering = PanopticNode(node, model, drawn, Image)
        # Drivers of cameras are reliable or not; this hears both, and the newest image alone.
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        if input_topic.endswith(COMPRESSED_ENDING):
            node.create_subscription(
                CompressedImage, input_topic, answering.answer_compressed, newest
            )
        else:
            node.create_subscription(Image, input_topic, answering.answer, newest)
        node.get_logger().info(f"{input_topic} -> {', '.join(drawn)}")
        with suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.spin(node)
    finally:
        rclpy.try_shutdown()
