"""What crosses a worker's socket arrives as it was sent, and an end is an end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_container.faults import DeviceBroken, NotFinite, OutOfMemory
from inference_container.frames import Ended, receive, receive_answers, receive_jobs, send, send_answers, send_jobs
from inference_container.segmented import Answer, Encoded, Job, Segmented
from shared.errors import Busy, MasklineError, Rejected, Retryable
from shared.prediction import Reason

LARGE = bytes(range(256)) * 20_000  # more than a socket holds

names = st.sampled_from(["rle", "polygons", "preview"])
jobs = st.lists(st.builds(Job, st.binary(max_size=300), st.lists(names, unique=True).map(tuple)), max_size=5)
masks = st.builds(Encoded, st.binary(max_size=50), st.text(max_size=5), st.lists(st.just({"id": 1, "box": [1, 2]})))
segmented = st.builds(
    Segmented,
    st.just("image/png"),
    st.integers(1, 9999),
    st.integers(1, 9999),
    masks,
    st.dictionaries(names, st.binary(max_size=50)),
    st.dictionaries(st.just("decode"), st.floats(0, 10)),
)


@pytest.fixture(name="both", scope="module")
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@given(jobs)
def test_jobs_arrive_as_they_were_sent(both: tuple[socket.socket, socket.socket], sent: list[Job]) -> None:
    send_jobs(both[0], sent)
    assert receive_jobs(both[1]) == sent


@given(st.lists(segmented, max_size=5))
def test_answers_arrive_as_they_were_sent(both: tuple[socket.socket, socket.socket], sent: list[Answer]) -> None:
    send_answers(both[0], sent)
    assert receive_answers(both[1]) == sent


@pytest.mark.parametrize("kind", [DeviceBroken, NotFinite, OutOfMemory, Retryable, MasklineError])
def test_errors_keep_their_kind_and_words(both: tuple[socket.socket, socket.socket], kind: type[MasklineError]) -> None:
    send_answers(both[0], [kind("why"), Rejected(Reason.CORRUPT_IMAGE, "damaged")])
    error, rejected = receive_answers(both[1])
    assert (type(error), str(error)) == (kind, "why")
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, str(rejected)) == (Reason.CORRUPT_IMAGE, "damaged")


def test_an_error_without_a_name_here_arrives_as_the_next_one_above(both: tuple[socket.socket, socket.socket]) -> None:
    send_answers(both[0], [Busy("later")])
    assert type(receive_answers(both[1])[0]) is Retryable


def test_a_frame_larger_than_the_socket_arrives_whole(both: tuple[socket.socket, socket.socket]) -> None:
    thread = threading.Thread(target=send, args=(both[0], {"a": 1}, [LARGE, LARGE]))
    thread.start()
    about, rest = receive(both[1])
    thread.join()
    assert (about, bytes(rest)) == ({"a": 1}, LARGE * 2)


def test_whoever_asks_a_dead_one_is_told() -> None:
    one, other = socket.socketpair()
    one.sendall(b"\x05\0\0\0")  # it died while it wrote
    one.close()
    with other:
        with pytest.raises(Ended):
            receive(other)
        with pytest.raises(Ended):
            send_jobs(other, [Job(b"")])
