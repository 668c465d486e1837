"""Names are reversible, harmless and tell whose photo it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared import ids

UIDS = st.text(min_size=1, max_size=128).filter(lambda s: s.encode("utf-8", "ignore").decode() == s)


@given(UIDS)
def test_an_announced_upload_names_its_owner_and_its_prediction(uid: str) -> None:
    prediction = ids.new_prediction_id()
    name = ids.upload_name(uid, prediction)
    assert (ids.owner_of(name), ids.announced_id(name)) == (uid, prediction)


@given(UIDS)
def test_a_user_never_escapes_its_folder(uid: str) -> None:
    segment = ids.user_segment(uid)
    assert "/" not in segment
    assert segment not in (".", "..")


@given(st.text(), st.text(), st.integers(0, 2**63))
def test_every_generation_has_its_own_id(bucket: str, name: str, generation: int) -> None:
    first = ids.prediction_id_of(bucket, name, generation)
    assert ids.is_prediction_id(first)
    assert first != ids.prediction_id_of(bucket, name, generation + 1)


def test_what_lies_outside_users_belongs_to_the_operator() -> None:
    assert [ids.owner_of(n) for n in ("cat.jpg", "users/cat.jpg", "users//x", "x/users/a/b", "users/~!/x")] == [
        ids.OPERATOR
    ] * 5


def test_two_claims_never_share_a_result_path() -> None:
    assert ids.result_name("p1", 7, 1) != ids.result_name("p1", 7, 2)
