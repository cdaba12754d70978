"""Messages between machines that share a folder and nothing else."""

import pickle
import struct

import pytest

from rnnbench.sweep.engines.mailbox import Inbox, Outbox, SeatFolder


def test_messages_arrive_once_and_in_order(tmp_path):
    outbox, inbox = Outbox(tmp_path / "m"), Inbox(tmp_path / "m")
    assert inbox.receive() == []
    outbox.send("a")
    outbox.send({"b": 2})
    assert inbox.receive() == ["a", {"b": 2}]
    outbox.send("c")
    assert inbox.receive() == ["c"]
    assert inbox.receive() == []


def test_nothing_has_arrived_where_nobody_has_written(tmp_path):
    assert Inbox(tmp_path / "not-there").receive() == []


@pytest.mark.parametrize("arrived", [1, 7, 8, 9, -1])
def test_half_a_message_waits_for_its_rest(tmp_path, arrived):
    path = tmp_path / "m"
    Outbox(path).send("first")
    content = pickle.dumps("second")
    second = struct.pack("!Q", len(content)) + content
    with open(path, "ab") as file:
        file.write(second[:arrived])
    inbox = Inbox(path)
    assert inbox.receive() == ["first"]
    with open(path, "ab") as file:
        file.write(second[arrived:])
    assert inbox.receive() == ["second"]


def test_a_message_that_was_written_half_is_sent_again_whole(tmp_path):
    path = tmp_path / "m"
    outbox, inbox = Outbox(path), Inbox(path)
    outbox.send("first")
    with open(path, "ab") as file:
        file.write(b"\0\0\0")  # as a full disk leaves it
    outbox.send("second")
    assert inbox.receive() == ["first", "second"]


def test_each_start_of_a_seat_writes_a_file_of_its_own(tmp_path):
    folder = SeatFolder(tmp_path)
    assert folder.next_start() == 0
    Outbox(folder.from_seat(0))
    assert folder.next_start() == 1
    assert folder.from_seat(0) != folder.from_seat(1)
