"""A bag appears whole or not at all, and others can read and play it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader

from irl_ros.demos.message_types import EPISODE_EVENT, FLOAT_ARRAY, POINT_STAMPED, typestore
from irl_ros.demos.writer import EpisodeBagWriter
from irl_ros.errors import InputError

TOPICS = {"target": POINT_STAMPED, "irl/episode": EPISODE_EVENT, "arm_controller/commands": FLOAT_ARRAY}


def command(value: float) -> bytes:
    types = typestore().types
    layout = types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    import numpy as np

    return bytes(
        typestore().serialize_cdr(types[FLOAT_ARRAY](layout=layout, data=np.array([value])), FLOAT_ARRAY)
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with EpisodeBagWriter(tmp_path / "runs" / "one", TOPICS) as bag:
        for k in range(5):
            bag.write("arm_controller/commands", FLOAT_ARRAY, 1000 + k, command(k))
        assert not (tmp_path / "runs" / "one").exists()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["one"]
    with Reader(tmp_path / "runs" / "one") as reader:
        assert [(t, bytes(d)) for _, t, d in reader.messages()] == [(1000 + k, command(k)) for k in range(5)]
        definitions = {c.msgtype: c.msgdef.data for c in reader.connections}
        assert (
            "uint8 RELEASE=3" in definitions[EPISODE_EVENT]
            and "std_msgs/Header" in definitions[EPISODE_EVENT]
        )


def test_metadata_lets_players_latch(tmp_path: Path) -> None:
    with EpisodeBagWriter(tmp_path / "one", TOPICS):
        pass
    information = yaml.safe_load((tmp_path / "one" / "metadata.yaml").read_text())[
        "rosbag2_bagfile_information"
    ]
    assert information["version"] == 9 and information["storage_identifier"] == "mcap"
    assert information["relative_file_paths"] == ["one.mcap"] and (tmp_path / "one" / "one.mcap").is_file()
    with Reader(tmp_path / "one") as reader:
        durability = {c.topic: c.ext.offered_qos_profiles[0].durability for c in reader.connections}
        assert all(
            c.ext.offered_qos_profiles[0].reliability == QosReliability.RELIABLE for c in reader.connections
        )
    assert durability["target"] == durability["irl/episode"] == QosDurability.TRANSIENT_LOCAL
    assert durability["arm_controller/commands"] == QosDurability.VOLATILE


def test_rclpy_reads_our_events_and_we_read_its(tmp_path: Path) -> None:
    """The recorder hands over what rmw serialized; the definition must be the very one rclpy uses."""
    script = textwrap.dedent(
        """
        import sys
        from rclpy.serialization import serialize_message
        from irl_ros.msg import EpisodeEvent
        event = EpisodeEvent(episode=7, event=EpisodeEvent.STOP, outcome="success", ended_by="timeout",
                             operator_name="synthetic", notes="ü")
        event.header.stamp.sec, event.header.stamp.nanosec = 12, 34
        sys.stdout.buffer.write(serialize_message(event))
        """
    )
    cdr = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    with EpisodeBagWriter(tmp_path / "one", TOPICS) as bag:
        bag.write("irl/episode", EPISODE_EVENT, 5, cdr)
    with Reader(tmp_path / "one") as reader:
        (_, _, data), *_ = reader.messages()
        event = typestore().deserialize_cdr(data, EPISODE_EVENT)
    assert (event.episode, event.event, event.outcome, event.ended_by) == (7, 1, "success", "timeout")
    assert (event.operator_name, event.notes, event.header.stamp.sec) == ("synthetic", "ü", 12)


def test_discard_and_failure_leave_nothing(tmp_path: Path) -> None:
    bag = EpisodeBagWriter(tmp_path / "one", TOPICS)
    bag.write("arm_controller/commands", FLOAT_ARRAY, 1, command(1.0))
    bag.discard()
    bag.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), EpisodeBagWriter(tmp_path / "one", TOPICS):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_killed_recorder_leaves_no_half_bag(tmp_path: Path) -> None:
    script = f"""
import time
from irl_ros.demos.writer import EpisodeBagWriter
bag = EpisodeBagWriter({str(tmp_path / "one")!r}, {TOPICS!r})
print("open", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "one").exists()
    from irl_ros.demos.bag import find_bags

    with pytest.raises(InputError, match="holds no rosbag2 recording"):
        find_bags(tmp_path)


def test_bags_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(InputError, match="exists already"):
        EpisodeBagWriter(tmp_path / "one", TOPICS)
    bag = EpisodeBagWriter(tmp_path / "two", TOPICS)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "precious").write_text("mine")
    with pytest.raises(InputError, match="cannot be moved here"):
        bag.close()
    assert (tmp_path / "two" / "precious").read_text() == "mine"


def test_wrong_use_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="topic 'a': unknown message type 'x_msgs/msg/X'"):
        EpisodeBagWriter(tmp_path / "one", {"a": "x_msgs/msg/X"})
    with (
        pytest.raises(InputError, match=r"topic 'b' of type .*: not announced"),
        EpisodeBagWriter(tmp_path / "one", TOPICS) as bag,
    ):
        bag.write("b", FLOAT_ARRAY, 1, b"")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        EpisodeBagWriter(tmp_path / "file" / "one", TOPICS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
