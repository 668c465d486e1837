"""The API's limits from outside: what is refused, how it says so, and who is not bothered by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.apis import JPEG, announce, backend, caller


def test_fifty_at_once_get_the_burst_and_the_rest_learns_when_to_come_again(tmp_path: Path) -> None:
    """Two instances over the same documents: neither knows what the other lets through."""
    stack = backend(tmp_path, quotas=True, quota_per_second=0.01)

    async def steps() -> None:
        async with caller(stack, "ada") as one, caller(stack, "ada") as two, caller(stack, "bob") as bob:
            posts = (instance.post("/v1/predictions", json=JPEG) for instance in (one, two) for _ in range(25))
            answers, _ = await asyncio.gather(asyncio.gather(*posts), announce(bob))
            refused = [one for one in answers if one.status_code != 201]
            assert len(refused) == 30
            for answer in refused:
                error = answer.json()["error"]
                assert (answer.status_code, error["status"]) == (429, "RESOURCE_EXHAUSTED")
                assert 1 <= int(answer.headers["retry-after"]) <= 100
                assert error["details"] == [{"reason": "QUOTA_EXCEEDED", "limit": "photosPerSecond", "allowed": 0.01}]
            assert len((await one.get("/v1/predictions?pageSize=100")).json()["predictions"]) == 20

    try:
        asyncio.run(steps())
    finally:
        stack.documents.close()
        stack.objects.close()


def test_the_same_request_again_is_answered_even_when_nothing_is_left(tmp_path: Path) -> None:
    stack = backend(tmp_path, quotas=True, quota_daily_photos=1)

    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            made, *same = await asyncio.gather(*(announce(ada, requestId="r-1") for _ in range(10)))
            assert {one["id"] for one in same} == {made["id"]}
            refused = await ada.post("/v1/predictions", json=JPEG | {"requestId": "r-2"})
            assert refused.json()["error"]["details"][0]["limit"] == "photosPerDay"
            assert (await announce(ada, requestId="r-1"))["id"] == made["id"]

    try:
        asyncio.run(steps())
    finally:
        stack.documents.close()
        stack.objects.close()


def test_deleting_oneself_is_no_way_to_a_new_day(tmp_path: Path) -> None:
    stack = backend(tmp_path, quotas=True, quota_daily_photos=1)

    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            await announce(ada)
            assert (await ada.delete("/v1/me")).status_code == 204
            assert (await ada.post("/v1/predictions", json=JPEG)).status_code == 429

    try:
        asyncio.run(steps())
    finally:
        stack.documents.close()
        stack.objects.close()


def test_a_laptop_has_no_limits(tmp_path: Path) -> None:
    stack = backend(tmp_path, quota_daily_photos=0)

    async def steps() -> None:
        async with caller(stack, "ada") as ada:
            await announce(ada)

    try:
        asyncio.run(steps())
    finally:
        stack.documents.close()
        stack.objects.close()
