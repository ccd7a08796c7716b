"""Make text that looks like language to a program: few words that are frequent, many that are rare."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import count, islice, product, repeat
from pathlib import Path

SYLLABLES = [start + vowel + end for start in "bcdfghjklmprstvz" for vowel in "aeiou" for end in ("", "n")]
LINE_WORDS = 12
BLOCK_WORDS = 50_000
FOREIGN = ("é", "ß", "ñandú", "слово", "λόγος", "言葉", "कथा", "🙂")
HARD = (b"\xe9", b"\xff\xfe", b"\xe2\x82", b"\xc2\xa0", b"\x1c", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\r")
"""Invalid UTF-8 of several kinds, white space that only Unicode knows, and bytes that programs trip over."""


@cache
def vocabulary(size: int) -> list[bytes]:
    """So many words by rank, the shorter the more frequent: of each 41 one is not ASCII, of each 1,009 one is hard."""
    words = [word.encode() for word in islice(_plain(), size)]
    for at, rank in enumerate(range(20, size, 41)):
        words[rank] += FOREIGN[at % len(FOREIGN)].encode()
    for at, rank in enumerate(range(500, size, 1009)):
        words[rank] = words[rank][:2] + HARD[at % len(HARD)] + words[rank][2:]
    return words


def pick(chance: random.Random, size: int, number: int) -> list[bytes]:
    """``number`` words of a vocabulary; the word of rank r comes about as often as 1/r (Zipf's law)."""
    words, draw = vocabulary(size), chance.random
    return [words[int(size ** draw()) - 1] for _ in range(number)]


def write_book(path: Path, size_bytes: int, vocabulary_size: int, seed: int) -> None:
    """A text of at least so many bytes, over by less than a block; the same for the same seed."""
    chance = random.Random(seed)
    with path.open("wb") as stream:
        while stream.tell() < size_bytes:
            words = pick(chance, vocabulary_size, BLOCK_WORDS)
            lines = (b" ".join(words[at : at + LINE_WORDS]) for at in range(0, BLOCK_WORDS, LINE_WORDS))
            stream.write(b"\n".join(lines) + b"\n")


def write_books(folder: Path, size_bytes: int, vocabulary_size: int, seed: int, books: int = 4) -> None:
    """``books`` texts that together have about so many bytes, on two processes."""
    folder.mkdir()
    paths = [folder / f"book-{number}.txt" for number in range(books)]
    with ProcessPoolExecutor(2) as pool:
        seeds = range(seed, seed + books)
        list(pool.map(write_book, paths, repeat(size_bytes // books), repeat(vocabulary_size), seeds))


def write_notes(folder: Path, notes: int, seed: int, folders: int = 100) -> None:
    """``notes`` small texts of 150 to 450 bytes, about 300 on average, in ``folders`` folders."""
    chance = random.Random(seed)
    words = pick(chance, 50_000, 1_000_000)
    for number in range(folders):
        (folder / f"{number:03}").mkdir(parents=True)
    for number in range(notes):
        start, length = chance.randrange(len(words) - 100), chance.randrange(28, 87)
        text = b" ".join(words[start : start + length]) + b"\n"
        (folder / f"{number % folders:03}" / f"note-{number:06}.txt").write_bytes(text)


def _plain() -> Iterator[str]:
    """Pronounceable words without end: of one syllable, then of two, and so on."""
    return ("".join(parts) for length in count(1) for parts in product(SYLLABLES, repeat=length))
