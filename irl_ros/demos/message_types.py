"""The ROS message types that rosbags must know: the standard ones and this package's own .msg files."""

from __future__ import annotations

from functools import lru_cache

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from irl_ros.errors import InputError
from irl_ros.resources import share_directory

JOINT_STATE = "sensor_msgs/msg/JointState"
FLOAT_ARRAY = "std_msgs/msg/Float64MultiArray"
ODOMETRY = "nav_msgs/msg/Odometry"
POINT_STAMPED = "geometry_msgs/msg/PointStamped"
EPISODE_EVENT = "irl_ros/msg/EpisodeEvent"
OWN = "irl_ros/msg/"


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Standard message types (unchanged from Humble to Lyrical for all we read) and irl_ros/msg/*.

    Raises:
        InputError: the package was installed without its message definitions.
    """
    store = get_typestore(Stores.ROS2_HUMBLE)
    files = sorted((share_directory() / "msg").glob("*.msg"))
    if not files:
        raise InputError(share_directory() / "msg", "holds no message definitions", "install irl_ros again")
    for file in files:
        store.register(get_types_from_msg(file.read_text(), f"{OWN}{file.stem}"))
    return store


@lru_cache(maxsize=64)
def typestore_for(message_type: str, definition: MessageDefinition) -> Typestore:
    """The store that decodes `message_type` as a bag recorded it.

    A bag's own definition of our messages wins over ours: it may come from another release of this package.
    Standard messages are taken from the standard, which also serves bags that embed no definitions.
    """
    ours = typestore()
    embedded = definition.format == MessageDefinitionFormat.MSG and definition.data
    if not embedded or not message_type.startswith(OWN):
        return ours
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(definition.data, message_type))
    return store
