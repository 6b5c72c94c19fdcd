"""Letters asked for before their turn: few, small, each for his own recipient, and only values."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from post_office import Post, letter_of, person

from bulkmail.delivery.ahead import LETTERS, OCTETS, Ahead
from bulkmail.delivery.work import Letter, Recipient


async def ask(ahead: Ahead, *people: Recipient) -> Letter | str:
    """The letter of the first of them."""
    (letter,) = await ahead.letters([people[0].id], lambda most: people[:most])
    return letter


async def all_of(ahead: Ahead, count: int) -> list[Letter | str]:
    """The letters of so many people, asked for as a session does, one after the other."""
    people = [person(number) for number in range(1, count + 1)]
    return [await ask(ahead, *people[place:]) for place, one in enumerate(people)]


async def test_after_the_first_letter_has_shown_its_size_many_are_asked_for_at_once() -> None:
    post = Post()
    await all_of(Ahead(post), 2 * LETTERS + 8)
    assert [len(ids) for ids in post.asked] == [1, LETTERS, LETTERS, 7]


async def test_of_large_letters_only_as_many_are_asked_for_as_there_is_room_for() -> None:
    post = Post(lambda one: letter_of(one, octets=OCTETS // 3 - 100))
    await all_of(Ahead(post), 7)
    assert [len(ids) for ids in post.asked] == [1, 3, 3]


async def test_where_sessions_are_many_each_holds_less() -> None:
    post = Post(lambda one: letter_of(one, octets=40_000))
    await all_of(Ahead(post, lambda: 200), 5)
    assert [len(ids) for ids in post.asked] == [1, 2, 2]


async def test_letters_larger_than_the_room_are_asked_for_one_by_one() -> None:
    post = Post(lambda one: letter_of(one, octets=OCTETS))
    await all_of(Ahead(post), 3)
    assert post.asked == [[1], [2], [3]]


async def test_everybody_gets_his_own_letter_or_his_own_reason() -> None:
    post = Post(lambda one: f"no letter for {one.id}" if one.id % 3 == 0 else letter_of(one))
    letters = await all_of(Ahead(post), 40)
    assert letters == [post.write(person(number)) for number in range(1, 41)]


@given(st.lists(st.integers(0, 2 * OCTETS) | st.integers(0, 20_000), min_size=1, max_size=60))
def test_however_large_letters_are_few_are_held_and_everybody_gets_his_own(sizes: list[int]) -> None:
    """Item 5 of the design: memory does not grow with the list, nor with what stands in it."""
    ahead = Ahead(Post(lambda one: letter_of(one, octets=sizes[one.id - 1])))
    people = [person(number) for number in range(1, len(sizes) + 1)]

    async def ask_and_look() -> None:
        for place, one in enumerate(people):
            letter = await ask(ahead, *people[place:])
            assert letter == letter_of(one, octets=sizes[place])
            held = [len(letter.content) for letter in ahead if isinstance(letter, Letter)]
            assert len(held) == 1 or (len(held) <= LETTERS and sum(held) <= OCTETS)

    trio.run(ask_and_look)


async def test_who_is_tried_again_at_once_gets_the_letter_that_was_written() -> None:
    post = Post()
    ahead = Ahead(post)
    people = [person(number) for number in range(1, 5)]
    first = [await ask(ahead, *people[place:]) for place in (0, 1, 2)]
    again = [await ask(ahead, *people[place:]) for place in (1, 2, 3)]
    assert (post.asked, again[:2]) == ([[1], [2, 3, 4]], first[1:])


async def test_what_was_forgotten_is_written_anew() -> None:
    post = Post()
    ahead = Ahead(post)
    await ask(ahead, person(1))
    ahead.forget()
    assert list(ahead) == []
    await ask(ahead, person(1))
    assert post.asked == [[1], [1]]


async def test_a_question_that_is_broken_off_leaves_nothing_behind() -> None:
    post = Post()
    ahead = Ahead(post)
    await ask(ahead, person(1))
    with trio.CancelScope() as scope:
        post.until = trio.sleep_forever
        scope.cancel()
        await ask(ahead, person(2), person(3))
    assert (scope.cancelled_caught, list(ahead)) == (True, [])
    post.until = trio.lowlevel.checkpoint
    assert await ask(ahead, person(2), person(3)) == letter_of(person(2))


async def test_a_work_that_forgets_somebody_is_our_bug_and_nobody_gets_the_letter_of_another() -> None:
    """I9."""

    class Forgetful(Post):
        async def letters(self, recipients):
            return [letter_of(one) for one in recipients if one.id != 2]

    ahead = Ahead(Forgetful())
    people = [person(number) for number in range(1, 4)]
    await ask(ahead, *people)
    with pytest.raises(ValueError, match="shorter"):
        await ask(ahead, *people[1:])


async def test_as_many_as_are_wanted_at_once_are_given_if_they_are_held() -> None:
    post = Post()
    ahead = Ahead(post)
    people = [person(number) for number in range(1, 101)]
    ids = range(1, 101)
    given = [
        await ahead.letters(ids[start : start + 8], lambda most, start=start: people[start : start + most])
        for start in (0, 1, 9, 17, 25, 33)
    ]
    assert ([len(letters) for letters in given], [len(ids) for ids in post.asked]) == (
        [1, 8, 8, 8, 8, 8],
        [1, LETTERS, LETTERS],
    )
