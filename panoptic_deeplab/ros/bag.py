"""From a bag of images to a bag of their panoptic segmentation, without ROS."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from panoptic_deeplab.engine.interruption import Interruption, StoppedError
from panoptic_deeplab.errors import DataError, UsageError, UserError, reason_of
from panoptic_deeplab.files import replacing_folder
from panoptic_deeplab.inference.memory import error_for_lack_of_memory
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.result import Result
from panoptic_deeplab.ros.messages import image_content, read_compressed_image, read_image
from panoptic_deeplab.ros.topics import Draw

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

_READERS = {
    "sensor_msgs/msg/Image": read_image,
    "sensor_msgs/msg/CompressedImage": read_compressed_image,
}
_IMAGE = "sensor_msgs/msg/Image"
_FORMAT_VERSION = 8  # the oldest that rosbags writes

_log = logging.getLogger(__name__)


def predict_bag(
    model: Callable[[np.ndarray], Result],
    bag: Path,
    target: Path,
    input_topic: str | None,
    drawn: Mapping[str, Draw],
) -> None:
    """Predict the images of a bag and write another one with the results.

    Each result has the header of its image, its stamp that is, and is recorded at the same time. A
    message that holds no readable image is logged and passed over. At Ctrl-C and SIGTERM the bag
    ends with the image at hand.

    Args:
        model: an image [H, W, 3] uint8 RGB -> its result.
        bag: a folder of ROS 2 (SQLite or MCAP) or a `.bag` file of ROS 1.
        target: the folder of a new bag of ROS 2 (SQLite).
        input_topic: of the images, compressed or not; None where the bag has but one.
        drawn: topic -> function of the result that makes its image.

    Raises:
        UsageError: rosbags is not installed, `target` exists, or the bag has no images under that
            topic.
        DataError: the bag cannot be read; or at the end, if some of its messages were passed over.
        StoppedError: a signal came.
    """
    refuse_useless(bag, target)
    with Interruption() as interruption, _opened(bag) as reader:
        connections = _image_connections(reader, bag, input_topic)
        total = sum(connection.msgcount for connection in connections)
        with _new_bag(target, drawn) as write:
            work = _Work(model, reader, drawn, write)
            with progress_bar(title="predicting", total=total, unit="images") as bar:
                for connection, time, raw in work.messages(connections):
                    work.predict(connection, time, raw)
                    bar.update()
                    if interruption.is_asked():
                        break
            if not work.predicted:
                raise DataError(f"{bag}: no image could be predicted{work.first_failure()}")
    told = f"{target} holds the results of {work.predicted} of {total} images"
    if interruption.signal is not None:
        raise StoppedError(interruption.signal, told)
    if work.failures:
        raise DataError(f"{bag}: {told}{work.first_failure()}")
    _log.info(told)


def refuse_useless(bag: Path, target: Path) -> None:
    """Refuse what cannot become a new bag, before a model is loaded for it.

    Raises:
        UsageError: rosbags is not installed, or `target` exists.
        DataError: `bag` does not.
    """
    if find_spec("rosbags") is None:
        raise UsageError("bags need rosbags; pip install 'panoptic-deeplab[ros]'")
    if target.exists():
        raise UsageError(f"{target}: is there already; choose another folder for the new bag")
    if not bag.exists():
        raise DataError(f"{bag}: no such bag; expected a folder of ROS 2 or a .bag file of ROS 1")


@dataclass
class _Work:
    """From the messages of a bag to the results of another.

    Attributes:
        model: an image [H, W, 3] uint8 RGB -> its result.
        reader: of the bag.
        drawn: topic -> function of the result that makes its image.
        write: writes an image: topic, time, header that it answers, pixels.
        predicted: images so far.
        failures: why the others were passed over.
    """

    model: Callable[[np.ndarray], Result]
    reader: AnyReader
    drawn: Mapping[str, Draw]
    write: Callable[[str, int, Any, np.ndarray], None]
    predicted: int = 0
    failures: list[str] = field(default_factory=list)

    def messages(self, connections: list[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield the messages as they are stored, with the nanoseconds since 1970 of their record.

        They end where the bag is damaged.
        """
        stored = iter(self.reader.messages(connections=connections))
        while True:
            try:
                message = next(stored, None)
            except Exception as error:  # whatever a damaged bag leads to
                self._pass_over(f"the rest of the bag ({reason_of(error)})")
                return
            if message is None:
                return
            yield message

    def predict(self, connection: Connection, time: int, raw: bytes) -> None:
        """Predict one message and write its results, or tell why not."""
        try:
            message = self._deserialized(connection, raw)
            with error_for_lack_of_memory("it"):
                result = self.model(_READERS[connection.msgtype](message))
        except UserError as error:
            place = f"the message of {connection.topic} at {time / 1e9:.9f} s"
            self._pass_over(f"{place}: {error}")
            return
        for topic, draw in self.drawn.items():
            self.write(topic, time, message.header, draw(result))
        self.predicted += 1

    def _deserialized(self, connection: Connection, raw: bytes) -> Any:
        try:
            return self.reader.deserialize(raw, connection.msgtype)
        except Exception as error:  # whatever broken bytes lead to
            raise DataError(f"no {connection.msgtype} ({reason_of(error)})") from error

    def _pass_over(self, failure: str) -> None:
        self.failures.append(failure)
        _log.warning("Passed over %s", failure)

    def first_failure(self) -> str:
        """Name the first failure, where there is one."""
        return f"; passed over: {self.failures[0]}" if self.failures else ""


@contextmanager
def _opened(bag: Path) -> Iterator[AnyReader]:
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    try:
        reader = AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    except Exception as error:  # the parsers' own, and whatever a damaged bag leads to
        raise DataError(
            f"{bag}: not a readable bag, a folder of ROS 2 or a .bag file of ROS 1 "
            f"({reason_of(error)})"
        ) from error
    try:
        yield reader
    finally:
        reader.close()


def _image_connections(reader: AnyReader, bag: Path, topic: str | None) -> list[Connection]:
    """Find the connections of the topic that is asked for, or of the only one with images."""
    images = [connection for connection in reader.connections if connection.msgtype in _READERS]
    topics = sorted({connection.topic for connection in images})
    if topic is None and len(topics) == 1:
        topic = topics[0]
    chosen = [connection for connection in images if connection.topic == topic]
    if not chosen:
        asked = "one topic of images" if topic is None else f"images under {topic}"
        raise UsageError(
            f"{bag}: expected {asked}, it has {', '.join(topics) or 'none'}; name the topic by -i"
        )
    return chosen


@contextmanager
def _new_bag(
    target: Path, topics: Mapping[str, Draw]
) -> Iterator[Callable[[str, int, Any, np.ndarray], None]]:
    """Yield a function that writes an image under a topic; the bag appears once it is whole."""
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_HUMBLE)
    make = types.types
    with replacing_folder(target) as draft:
        # The writer makes its own folder, after whose name it calls the file in it.
        with Writer(draft / target.name, version=_FORMAT_VERSION) as writer:
            connections = {
                topic: writer.add_connection(topic, _IMAGE, typestore=types) for topic in topics
            }

            def write(topic: str, time: int, header: Any, image: np.ndarray) -> None:
                stamp = make["builtin_interfaces/msg/Time"](header.stamp.sec, header.stamp.nanosec)
                content = image_content(image)._asdict()
                content["data"] = np.frombuffer(content["data"], np.uint8)
                own = make["std_msgs/msg/Header"](stamp, header.frame_id)
                message = make[_IMAGE](header=own, **content)
                writer.write(connections[topic], time, types.serialize_cdr(message, _IMAGE))

            yield write
        for file in sorted((draft / target.name).iterdir()):
            os.replace(file, draft / file.name)
        (draft / target.name).rmdir()
