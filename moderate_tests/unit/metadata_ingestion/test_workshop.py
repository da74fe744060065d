"""What a process of the workshop told is kept, however it ends."""

import os
from collections.abc import Sequence
from multiprocessing import Pipe

import pytest

from moderate.flows.metadata_ingestion import workshop
from moderate.flows.metadata_ingestion.plan import table
from moderate.flows.metadata_ingestion.task import Outcome
from moderate.flows.metadata_ingestion.workshop import News
from moderate.inbox.metadata_sources import Part

A, B = table("s", "a"), table("s", "b")


def test_what_was_told_before_an_end_without_a_word_is_kept() -> None:
    ours, theirs = Pipe(duplex=False)
    kept: list[Sequence[Part]] = []
    news = News(ours, kept.append)
    theirs.send(A)
    assert news.heard(0) is None
    assert kept == [], "others may be done meanwhile"
    theirs.send(B)
    theirs.close()
    assert news.rest() == (A, B)
    assert kept == [[A, B]]


def test_what_was_told_a_while_ago_is_kept_while_the_process_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workshop, "KEEP_SECONDS", 0.0)
    ours, theirs = Pipe(duplex=False)
    kept: list[Sequence[Part]] = []
    news = News(ours, kept.append)
    for part in (A, B):
        theirs.send(part)
        assert news.heard(0) is None
    assert news.heard(0) is None
    assert kept == [[A], [B]]


def test_an_end_with_an_error_does_not_lose_what_was_told() -> None:
    ours, theirs = Pipe(duplex=False)
    kept: list[Sequence[Part]] = []
    news = News(ours, kept.append)
    theirs.send(A)
    theirs.send(Outcome(error="it broke"))
    assert news.heard(0) is None
    outcome = news.heard(0)
    assert outcome
    assert outcome.error == "it broke"
    assert kept == [[A]]


def test_an_end_in_the_middle_of_a_word_is_an_end() -> None:
    ours, theirs = Pipe(duplex=False)
    news = News(ours, lambda _: None)
    # The length of a message that never comes.
    os.write(theirs.fileno(), b"\x00\x00\x00\xff")
    theirs.close()
    with pytest.raises(EOFError):
        news.heard(0)
