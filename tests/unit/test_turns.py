"""Many at once, or one alone."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from inference_container.turns import Turns


def play(*steps: str) -> list[str]:
    """Each step is a name and what it does: `a+` comes in beside others, `a!` alone, `a-` leaves. What happened, in
    the order in which it did."""

    async def run() -> list[str]:
        turns, seen, leaving = Turns(), [], {step[0]: asyncio.Event() for step in steps}

        async def stay(name: str, entering: AbstractAsyncContextManager[None]) -> None:
            async with entering:
                seen.append(f"{name} in")
                await leaving[name].wait()
            seen.append(f"{name} out")

        tasks = []
        for step in steps:
            name, act = step[0], step[1]
            if act == "-":
                leaving[name].set()
            else:
                tasks.append(asyncio.create_task(stay(name, turns.together() if act == "+" else turns.alone())))
            for _ in range(5):
                await asyncio.sleep(0)
        for event in leaving.values():
            event.set()
        await asyncio.gather(*tasks)
        return seen

    return asyncio.run(run())


def test_many_are_inside_at_once() -> None:
    assert play("a+", "b+", "b-", "a-") == ["a in", "b in", "b out", "a out"]


def test_who_is_alone_waits_for_the_others_and_keeps_newcomers_out() -> None:
    assert play("a+", "b!", "c+", "a-", "b-", "c-") == ["a in", "a out", "b in", "b out", "c in", "c out"]


def test_two_are_alone_one_after_the_other() -> None:
    assert play("a!", "b!", "a-", "b-") == ["a in", "a out", "b in", "b out"]
