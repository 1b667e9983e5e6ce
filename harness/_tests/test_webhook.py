"""The receiver of notifications keeps what is said of collections, and nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import requests

from harness.maintenance.completion import ByWebhook, Ended
from harness.maintenance.webapp_shapes import Report
from harness.maintenance.webhook import Receiver
from harness.model import Garbage, NodeCollection, NodeOutcome

NUMBER = "12025550143"
PERSONAL = {
    "contacts": [{"wa_id": NUMBER}],
    "messages": [{"from": NUMBER, "text": {"body": f"I am {NUMBER}"}}],
}
COMPLETE, FAILED, SILENT = NodeOutcome.COMPLETE, NodeOutcome.FAILED, NodeOutcome.SILENT


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that listens."""
    with Receiver() as listening:
        yield listening


def told(service: str = "message", **gc: object) -> dict[str, object]:
    """Return a notification that a collection has ended."""
    return {"services": [{service: {"gc": {"status": "complete", **gc}}}]}


def post(receiver: Receiver, document: object) -> int:
    """Post a notification; return the status."""
    return requests.post(receiver.url, json=document, timeout=5).status_code


def test_personal_notifications_are_not_kept(receiver: Receiver) -> None:
    """A notification of messages is taken and nothing of it kept; a report beside it is."""
    assert post(receiver, PERSONAL) == 200
    assert receiver.next(0.05) is None
    assert post(receiver, {**PERSONAL, **told(messages_deleted=1)}) == 200
    report = receiver.next(5)
    assert report == Report(Garbage.MESSAGES, NodeCollection("", COMPLETE, 1))
    assert NUMBER not in repr(report)


@pytest.mark.parametrize(
    ("notification", "report"),
    [
        (told(messages_deleted=5, node="a:1"), (Garbage.MESSAGES, "a:1", COMPLETE, 5, ())),
        (told("media", items_deleted=2), (Garbage.MEDIA, "", COMPLETE, 2, ())),
        # As the reference has it, once: media told under the name of messages.
        (told("message", items_deleted=2), (Garbage.MEDIA, "", COMPLETE, 2, ())),
        (told("media"), (Garbage.MEDIA, "", COMPLETE, None, ())),
        (told(messages_deleted="many"), (Garbage.MESSAGES, "", COMPLETE, None, ())),
        (told(status="failed"), (Garbage.MESSAGES, "", FAILED, None, ())),
        (
            told(status="failed", errors=[{"code": 1014}, {"details": NUMBER}]),
            (Garbage.MESSAGES, "", FAILED, None, (1014, 0)),
        ),
        (told(errors=[{"code": 1014}]), (Garbage.MESSAGES, "", FAILED, None, (1014,))),
    ],
)
def test_what_is_understood(
    receiver: Receiver, notification: object, report: tuple[object, ...]
) -> None:
    """Each form of a report is understood; one with errors has failed, whatever its status says."""
    assert post(receiver, notification) == 200
    found = receiver.next(5)
    assert found is not None
    node = found.node
    assert (found.garbage, node.node, node.outcome, node.deleted, node.codes) == report


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"services": {}},
        {"services": [7]},
        {"services": [{"message": 7}]},
        told(status="processing"),
        told(node=f"{NUMBER} is calling"),
        told(node=7),
    ],
)
def test_what_is_no_report(receiver: Receiver, document: object) -> None:
    """What is not a report that has ended is taken, and not kept."""
    assert post(receiver, document) == 200
    assert receiver.next(0.05) is None


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", b"411"),
        (b"Content-Length: x\r\n", b"411"),
        (b"Content-Length: 9999999\r\n", b"413"),
        (b"Content-Length: 99999999999999999999\r\n", b"413"),
        (b"Content-Length: 3\r\n", b"400"),
    ],
)
def test_what_is_too_much(
    receiver: Receiver, head: bytes, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """A body that is too large, of no length, or no JSON is refused, in silence, and the next one taken."""
    port = int(receiver.url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n" + head + b"\r\n{}}")
        assert connection.makefile("rb").readline().split()[1] == status
    assert post(receiver, told()) == 200
    assert receiver.next(5)
    assert capfd.readouterr() == ("", "")


def wait(
    receiver: Receiver, *notifications: object, nodes: tuple[str, ...], wait_s: float = 0.3
) -> Ended:
    """Wait for the Coreapps of a collection of messages, after notifications have come."""
    completion = ByWebhook(receiver)
    post(receiver, told(status="failed", node=nodes[0]))
    completion.prepare(Garbage.MESSAGES)
    for notification in notifications:
        post(receiver, notification)
    return completion.wait(Garbage.MESSAGES, nodes, time.monotonic() + wait_s, lambda: None)


def test_each_once(receiver: Receiver) -> None:
    """What came before a start does not count, nor a second report of one Coreapp, nor one of media."""
    ended = wait(
        receiver,
        told(node="a:1", messages_deleted=1),
        told(node="a:1", messages_deleted=1),
        told("media", items_deleted=9, node="b:2"),
        told(node="b:2", messages_deleted=2),
        nodes=("a:1", "b:2"),
    )
    assert (ended.complete, ended.confirmed, ended.why) == (True, True, "")
    assert ended.nodes == (NodeCollection("a:1", COMPLETE, 1), NodeCollection("b:2", COMPLETE, 2))


def test_a_later_failure_counts(receiver: Receiver) -> None:
    """Of two reports of one Coreapp the failure counts."""
    twice = (told(node="a:1"), told(node="a:1", status="failed"), told(node="b:2"))
    ended = wait(receiver, *twice, nodes=("a:1", "b:2"))
    assert (ended.complete, ended.confirmed) == (False, False)
    assert [node.outcome for node in ended.nodes] == [FAILED, COMPLETE]


@pytest.mark.parametrize("name", ["c:3", ""])
def test_a_stranger_does_not_stand_in(receiver: Receiver, name: str) -> None:
    """A report of a Coreapp that was not started, or of none, does not count for a silent one, and is told."""
    ended = wait(receiver, told(node="a:1"), told(node=name), nodes=("a:1", "b:2"))
    assert [node.outcome for node in ended.nodes] == [COMPLETE, SILENT]
    assert "1 of 2 Coreapps did not report in time" in ended.why
    assert "1 reports were of Coreapps that had not been started" in ended.why


@pytest.mark.parametrize(("expected", "reported"), [("", "a:1"), ("a:1", ""), ("", "")])
def test_the_only_one_needs_no_name(receiver: Receiver, expected: str, reported: str) -> None:
    """Where there is one Coreapp only, a report counts with and without its name."""
    ended = wait(receiver, told(node=reported), nodes=(expected,))
    assert (ended.complete, [node.node for node in ended.nodes]) == (True, [reported])


def test_the_only_one_is_no_other(receiver: Receiver) -> None:
    """Where there is one Coreapp only, and its name known, another one's report does not count."""
    ended = wait(receiver, told(node="c:3"), nodes=("a:1",))
    assert [node.outcome for node in ended.nodes] == [SILENT]
