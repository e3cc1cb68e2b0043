"""Recordings as they occur in the wild are read; broken ones are refused in one line that says what to do."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from irl_ros.demos.bag import find_bags, read_bag, roles_of
from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.demos.interpolation import hermite
from irl_ros.demos.message_types import EPISODE_EVENT, JOINT_STATE, typestore
from irl_ros.demos.recording import read_recording
from irl_ros.demos.writer import EpisodeBagWriter
from irl_ros.errors import InputError
from irl_ros.sim import load_world


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def storage_file(folder: Path) -> Path:
    return next(f for f in folder.iterdir() if f.suffix in (".mcap", ".db3"))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_without_metadata_and_as_a_single_file(record, throws, world, storage) -> None:
    (folder,) = record(throws, storage=storage)
    want = load_demonstrations(folder, world).sha256
    (folder / "metadata.yaml").unlink()
    assert load_demonstrations(folder, world).sha256 == want
    assert load_demonstrations(storage_file(folder), world).sha256 == want


def test_metadata_with_other_qos_than_the_storage(record, throws, world) -> None:
    """As after `ros2 bag reindex`: rosbags alone would silently find no messages."""
    (folder,) = record(throws, storage="sqlite3")
    want = load_demonstrations(folder, world).sha256
    path = folder / "metadata.yaml"
    metadata = yaml.safe_load(path.read_text())
    for topic in metadata["rosbag2_bagfile_information"]["topics_with_message_count"]:
        topic["topic_metadata"]["offered_qos_profiles"] = []
    path.write_text(yaml.safe_dump(metadata))
    assert load_demonstrations(folder, world).sha256 == want


def test_sqlite_of_humble_embeds_no_definitions(record, throws, world) -> None:
    (folder,) = record(throws, storage="sqlite3")
    want = load_demonstrations(folder, world).sha256
    with sqlite3.connect(storage_file(folder)) as database:
        database.execute("DROP TABLE message_definitions")
        database.execute("UPDATE schema SET schema_version = 3")
    assert load_demonstrations(folder, world).sha256 == want


def test_a_recording_split_over_files(record, throws, world) -> None:
    """rosbag2 starts a new file at a size or time limit, in the midst of an episode."""
    (folder,) = record(throws)
    want = load_demonstrations(folder, world).sha256
    raw = Path(folder.parent / "split")
    raw.mkdir()
    pieces = copy_in_pieces(folder, raw, 3)
    metadata = yaml.safe_load((folder / "metadata.yaml").read_text())
    metadata["rosbag2_bagfile_information"]["relative_file_paths"] = [p.name for p in pieces]
    assert load_demonstrations(raw, world).sha256 == want  # by their names
    metadata["rosbag2_bagfile_information"]["relative_file_paths"].reverse()
    (raw / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    assert load_demonstrations(raw, world).sha256 == want


def copy_in_pieces(folder: Path, to: Path, count: int) -> list[Path]:
    from rosbags.rosbag2 import Reader

    with Reader(folder) as reader:
        messages = list(reader.messages())
        types = {c.topic: c.msgtype for c in reader.connections}
    size, pieces = -(-len(messages) // count), []
    for i in range(count):
        with EpisodeBagWriter(to / "part", types) as bag:
            for connection, stamp, data in messages[i * size : (i + 1) * size]:
                bag.write(connection.topic, connection.msgtype, stamp, data)
        pieces.append(to / f"rec_{i}.mcap")
        shutil.move(storage_file(to / "part"), pieces[-1])
        shutil.rmtree(to / "part")
    return pieces


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE, CompressionMode.STORAGE])
def test_zstd_compression(record, throws, world, tmp_path, mode) -> None:
    from rosbags.rosbag2 import Reader

    (folder,) = record(throws)
    packed = Writer(tmp_path / "packed", version=9, storage_plugin=StoragePlugin.MCAP)
    packed.set_compression(mode, CompressionFormat.ZSTD)
    with packed, Reader(folder) as reader:
        connections = {
            c.topic: packed.add_connection(c.topic, c.msgtype, typestore=typestore())
            for c in reader.connections
        }
        for connection, stamp, data in reader.messages():
            packed.write(connections[connection.topic], stamp, data)
    want = load_demonstrations(folder, world).sha256
    assert load_demonstrations(tmp_path / "packed", world).sha256 == want


def test_topics_with_exotic_types_are_not_decoded(record, throws, world, tmp_path) -> None:
    """A type nobody knows, with garbage inside, does not disturb."""
    from rosbags.rosbag2 import Reader

    (folder,) = record(throws)
    bag = Writer(tmp_path / "exotic", version=9, storage_plugin=StoragePlugin.MCAP)
    with bag, Reader(folder) as reader:
        odd = bag.add_connection(
            "/odd", "vendor_msgs/msg/Odd", msgdef="this is { no definition", rihs01="RIHS01_0"
        )
        connections = {
            c.topic: bag.add_connection(c.topic, c.msgtype, typestore=typestore()) for c in reader.connections
        }
        for connection, stamp, data in reader.messages():
            bag.write(odd, stamp, b"\x00garbage")
            bag.write(connections[connection.topic], stamp, data)
    want = load_demonstrations(folder, world).sha256
    assert load_demonstrations(tmp_path / "exotic", world).sha256 == want


def test_events_of_another_release_of_this_package_are_read_by_their_own_definition(
    record, throws, world, tmp_path
):
    """A definition with a field more, embedded in the bag, wins over the installed one."""
    from rosbags.rosbag2 import Reader
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    (folder,) = record(throws)
    text, _ = typestore().generate_msgdef(EPISODE_EVENT, ros_version=2)
    later = text.replace("string notes\n", "string notes\nfloat64 mood\n").replace(
        "uint32 episode\n", "float64 confidence\nuint32 episode\n"
    )
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(later, EPISODE_EVENT))
    bag = Writer(tmp_path / "later", version=9, storage_plugin=StoragePlugin.MCAP)
    with bag, Reader(folder) as reader:
        connections = {
            c.topic: bag.add_connection(c.topic, c.msgtype, typestore=store) for c in reader.connections
        }
        for connection, stamp, data in reader.messages():
            if connection.msgtype == EPISODE_EVENT:
                old = typestore().deserialize_cdr(data, EPISODE_EVENT)
                fields = {
                    f: getattr(old, f)
                    for f in old.__dataclass_fields__
                    if not f.isupper() and f != "__msgtype__"
                }
                new = store.types[EPISODE_EVENT](**fields, mood=1.0, confidence=2.0)
                data = store.serialize_cdr(new, EPISODE_EVENT)
            bag.write(connections[connection.topic], stamp, bytes(data))
    want = load_demonstrations(folder, world)
    again = load_demonstrations(tmp_path / "later", world)
    assert again.sha256 == want.sha256


def test_hidden_folders_hold_unfinished_bags(record, throws, world) -> None:
    (folder,) = record(throws)
    shutil.copytree(folder, folder.parent / "all" / "good")
    shutil.copytree(folder, folder.parent / "all" / ".good-unfinished")
    assert len(find_bags(folder.parent / "all")) == 1
    assert len(find_bags([folder, folder, str(folder) + "/"])) == 1  # named twice, read once


def test_bags_of_a_folder_come_in_counting_order(record, throws, world) -> None:
    folders = record(throws, a_bag=1)
    root = folders[0].parent
    folders[1].rename(root / "episode_10")
    assert [b.path.name for b in find_bags(root)] == ["episode_0", "episode_2", "episode_3", "episode_10"]


# ---- what a person does wrong


def test_missing_folder(tmp_path, world) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder") as error:
        load_demonstrations(tmp_path / "nowhere", world)
    one_line(error)


def test_folder_without_a_bag(tmp_path, world) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="holds no rosbag2 recording"):
        load_demonstrations(tmp_path, world)
    with pytest.raises(InputError, match=r"notes.txt: is not a recording"):
        load_demonstrations(tmp_path / "notes.txt", world)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_empty_bag(tmp_path, world, storage) -> None:
    with EpisodeBagWriter(tmp_path / "empty", {"joint_states": JOINT_STATE}, storage):
        pass
    with pytest.raises(InputError, match="empty: is an empty bag"):
        load_demonstrations(tmp_path / "empty", world)


@pytest.mark.parametrize(
    ("storage", "keep"),
    [("mcap", 0.0), ("mcap", 0.001), ("sqlite3", 0.0), ("sqlite3", 0.3), ("sqlite3", 0.99)],
)
def test_truncated_file(record, throws, world, storage, keep) -> None:
    (folder,) = record(throws, storage=storage)
    file = storage_file(folder)
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(InputError, match=rf"{file.name}: is truncated or damaged \(.*\); repair it") as error:
        load_demonstrations(folder, world)
    one_line(error)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_flipped_bytes_never_end_in_a_traceback(record, throws, world, place) -> None:
    (folder,) = record(throws)
    file = storage_file(folder)
    data = bytearray(file.read_bytes())
    for i in range(int(place * len(data)), int(place * len(data)) + 400):
        data[i] ^= 0xFF
    file.write_bytes(data)
    try:
        load_demonstrations(folder, world)
    except InputError as error:
        assert "\n" not in str(error)


def test_broken_metadata(record, throws, world) -> None:
    (folder,) = record(throws)
    (folder / "metadata.yaml").write_text("rosbag2: [")
    with pytest.raises(InputError, match="is not the metadata of a rosbag2 recording"):
        load_demonstrations(folder, world)


def test_file_named_in_metadata_is_missing(record, throws, world) -> None:
    (folder,) = record(throws)
    storage_file(folder).unlink()
    with pytest.raises(InputError, match=r"names the file 'bag.mcap', which is missing"):
        load_demonstrations(folder, world)


def test_bag_of_another_robot(record, throws) -> None:
    with pytest.raises(
        InputError, match=r"panda_joint1, .*not lbr_iiwa_joint_1, .*world's robot is iiwa"
    ) as error:
        load_demonstrations(record(throws), load_world({"robot": "iiwa"}))
    one_line(error)


def test_commands_of_another_length(record, throws, world, tmp_path) -> None:
    (folder,) = record(throws)
    from rosbags.rosbag2 import Reader

    with Reader(folder) as reader:
        messages = list(reader.messages())
        types = {c.topic: c.msgtype for c in reader.connections}
    swapped = {"/arm_controller/commands": "/gripper_controller/commands"}
    with EpisodeBagWriter(tmp_path / "odd", types) as bag:
        for connection, stamp, data in messages:
            bag.write(swapped.get(connection.topic, connection.topic), connection.msgtype, stamp, data)
            if connection.topic.startswith("/gripper"):
                bag.write("/arm_controller/commands", connection.msgtype, stamp, data)
    with pytest.raises(
        InputError, match="'/arm_controller/commands' has a command of 1 values; robot panda takes 7"
    ):
        load_demonstrations(tmp_path / "odd", world)


def edited(folder: Path, to: Path, topic: str, change: Callable[[int, Any], None], copy: str = "") -> Path:
    """A copy of a bag with the k-th message of a topic changed, or copied to another topic."""
    from rosbags.rosbag2 import Reader

    with Reader(folder) as reader:
        messages = list(reader.messages())
        types = {c.topic: c.msgtype for c in reader.connections}
    count = 0
    with EpisodeBagWriter(to, {**types, **({copy: types[topic]} if copy else {})}) as bag:
        for connection, stamp, data in messages:
            if connection.topic == topic:
                message = typestore().deserialize_cdr(data, connection.msgtype)
                change(count, message)
                count, data = count + 1, bytes(typestore().serialize_cdr(message, connection.msgtype))
            bag.write(connection.topic, connection.msgtype, stamp, data)
            if copy and connection.topic == topic:
                bag.write(copy, connection.msgtype, stamp, data)
    return to


@pytest.mark.parametrize("topic", ["/arm_controller/commands", "/target"])
def test_what_is_not_a_number_is_refused(record, throws, world, tmp_path, topic) -> None:
    def change(k: int, message: Any) -> None:
        if topic == "/target":
            message.point.z = np.nan
        elif k == 7:
            message.data = np.where(np.arange(7) == 3, np.nan, message.data)

    folder = edited(record(throws)[0], tmp_path / "odd", topic, change)
    with pytest.raises(InputError, match=f"topic '{topic}' has a .* that is not a number") as error:
        load_demonstrations(folder, world)
    one_line(error)


def test_coordinates_in_another_frame_are_remarked(record, throws, world, tmp_path) -> None:
    def change(_: int, message: Any) -> None:
        message.header.frame_id = "camera"

    (folder,) = record(throws)
    (bag,) = find_bags(folder)
    assert not read_recording(bag, world.robot).remarks
    (bag,) = find_bags(edited(folder, tmp_path / "odd", "/target", change))
    told = "the target is in frame 'camera' and is taken as if that were 'world'"
    assert told in read_recording(bag, world.robot).remarks


def test_commands_that_are_positions_are_told_from_velocities(record, throws, world, tmp_path) -> None:
    (folder,) = record(throws)
    (bag,) = find_bags(folder)
    seen = read_recording(bag, world.robot)
    where, _ = hermite(seen.joints.times, seen.joints.x, seen.joints.v, seen.commands.times + world.dt)

    def change(k: int, message: Any) -> None:
        message.data = where[k]

    moved = edited(folder, tmp_path / "positions", "/arm_controller/commands", change)
    (bag,) = find_bags(moved)
    recording = read_recording(bag, world.robot)
    assert recording.commands is None and "the commands are positions" in " ".join(recording.remarks)
    got, want = load_demonstrations(moved, world), load_demonstrations(folder, world)
    assert got.actions_inferred and not want.actions_inferred
    assert (got.throws.actions - want.throws.actions)[..., :-1].abs().median() < 0.03


def test_a_leader_arm_is_not_the_robot(record, throws, world, tmp_path) -> None:
    copy = "/leader/joint_states"
    (folder,) = record(throws)
    led = edited(folder, tmp_path / "led", "/joint_states", lambda *_: None, copy)
    assert len(load_demonstrations(led, world)) == len(load_demonstrations(folder, world))


def test_no_joint_states(record, throws, world, tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"has no joint_states messages; record that topic too; the bag has /"
    ):
        load_demonstrations(renamed(record(throws)[0], tmp_path / "x", {"/joint_states": "/joints"}), world)


def test_no_target(record, throws, world) -> None:
    with pytest.raises(InputError, match="has no target message"):
        load_demonstrations(record(throws, target=False), world)


def test_two_robots_with_the_same_topics(record, throws, world, tmp_path) -> None:
    folder = renamed(record(throws)[0], tmp_path / "x", {"/target": "/two/joint_states"}, joints_twice=True)
    with pytest.raises(
        InputError, match="2 topics that could be joint_states: /joint_states, /two/joint_states"
    ):
        load_demonstrations(folder, world)


def test_topic_of_another_type(record, throws, world, tmp_path) -> None:
    folder = renamed(record(throws)[0], tmp_path / "x", {"/target": "/old", "/ball/odometry": "/target"})
    with pytest.raises(
        InputError, match="topic '/target' has type 'nav_msgs/msg/Odometry'; 'geometry_msgs/msg/Point"
    ):
        load_demonstrations(folder, world)


def renamed(folder: Path, to: Path, names: dict[str, str], joints_twice: bool = False) -> Path:
    """A copy of a bag with topics renamed; with joints_twice, joint_states also under the new names."""
    from rosbags.rosbag2 import Reader

    with Reader(folder) as reader:
        messages = list(reader.messages())
        types = {c.topic: c.msgtype for c in reader.connections}
    if joints_twice:
        types = {**types, **dict.fromkeys(names.values(), JOINT_STATE)}
        names = {}
    with EpisodeBagWriter(to, {names.get(t, t): kind for t, kind in types.items()}) as bag:
        for connection, stamp, data in messages:
            topic = names.get(connection.topic, connection.topic)
            bag.write(topic, connection.msgtype, stamp, data)
            if joints_twice and topic == "/joint_states":
                bag.write("/two/joint_states", connection.msgtype, stamp, data)
    return to


def test_no_episodes(record, throws, world) -> None:
    with pytest.raises(InputError, match="has no episodes: neither irl/episode events nor a release"):
        load_demonstrations(record(throws, events=False, gripper=False, ball=False), world)


def test_all_episodes_discarded(record, throws, world) -> None:
    with pytest.raises(InputError, match="has no episodes left: 4 were discarded"):
        load_demonstrations(record(throws, discard=(0, 1, 2, 3)), world)


def test_only_needed_roles_are_read(record, throws, world) -> None:
    (folder,) = record(throws)
    roles = {k: v for k, v in roles_of(world.robot).items() if k == "target"}
    raw = read_bag(find_bags(folder)[0], roles)
    assert set(raw.messages) == {"target"} and len(raw.messages["target"]) == 4
    assert {t.name for t in raw.other} >= {"/joint_states", "/ball/odometry"}
    assert torch.tensor([m.point.x for _, m in raw.messages["target"]]).isfinite().all()
