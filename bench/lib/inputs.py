# SPDX-License-Identifier: Apache-2.0
"""The files that `./dev bench flow` reads, made once for each size and kept in build/bench.

Everything is drawn from fixed seeds, so two machines with the same options read the same bytes, save the text of this machine.
"""
import os
import random

FOLDER = os.path.join("build", "bench")
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
ROWS_AT_ONCE = 100_000


def made(name, write):
    """The path of the file `name`, which write(file) makes when it is not there. Its folder has only whole files."""
    path = os.path.join(FOLDER, name)
    if os.path.exists(path):
        return path
    os.makedirs(FOLDER, exist_ok=True)
    # In a process of its own: what this one holds when it starts a program counts as that program's peak.
    child = os.fork()
    if child == 0:
        with open(path + ".part", "wb") as file:
            write(file)
        os.rename(path + ".part", path)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit(f"could not make {path}")
    return path


def machine_text(mb):
    """The C headers of this machine, repeated to the size. ASCII, as some peers take only UTF-8."""
    def write(file):
        pieces = []
        for folder, _, names in sorted(os.walk("/usr/include")):
            for name in sorted(names):
                with open(os.path.join(folder, name), "rb") as header:
                    pieces.append(header.read().decode("ascii", "replace").encode("ascii", "replace").replace(b"\r", b""))
        text = b"\n".join(pieces) + b"\n"
        while file.tell() < mb * 1_000_000:
            file.write(text[:text.rfind(b"\n", 0, mb * 1_000_000 - file.tell()) + 1] or b"\n")
    return made(f"machine-{mb}.txt", write)


def zipf_text(mb):
    """Lines of 12 words; the word of rank r comes about 1 / r times as often as the first. Some 5,500 words in a MB may occur."""
    def word(number):
        letters = ""
        while number > 0:
            number, letter = divmod(number - 1, 26)
            letters += chr(ord("a") + letter)
        return letters

    def write(file):
        dice = random.Random(1)
        words = [word(rank + 703) for rank in range(mb * 5500)]  # From "aaa" on.
        while file.tell() < mb * 1_000_000:
            drawn = [words[int(len(words) ** dice.random()) - 1] for _ in range(12 * 10_000)]
            file.write("".join(" ".join(drawn[i:i + 12]) + "\n" for i in range(0, len(drawn), 12)).encode())
    return made(f"zipf-{mb}.txt", write)


def records(rows):
    """Lines of 99 letters and digits; the first 10 are a key that nothing shares."""
    def write(file):
        dice, table = random.Random(2), bytes(LETTERS[i % len(LETTERS)] for i in range(256))
        for begin in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - begin)
            letters = dice.randbytes(99 * count).translate(table)
            file.write(b"".join(letters[i:i + 99] + b"\n" for i in range(0, len(letters), 99)))
    return made(f"records-{rows}.txt", write)


def rows_of(rows, line):
    """A writer of line(i) for all i."""
    def write(file):
        for begin in range(0, rows, ROWS_AT_ONCE):
            file.write("".join([line(i) for i in range(begin, min(begin + ROWS_AT_ONCE, rows))]).encode())
    return write


def join_sides(rows):
    """id,text and id,number: every id once on each side, in no order, nine of ten on both."""
    step = 982_451_653  # A prime: i * step mod rows takes every value once.
    left = made(f"join-left-{rows}.csv", rows_of(rows, lambda i: f"{i * step % rows},name{i * 7919 % rows}\n"))
    right = made(f"join-right-{rows}.csv", rows_of(rows, lambda i: f"{i * step % rows + rows // 10},{i * 31 % 100_000}\n"))
    return left, right


def groups(rows, count):
    """key,value: `count` keys in no order."""
    dice = random.Random(3)
    return made(f"groups-{rows}-{count}.csv", rows_of(rows, lambda i: f"{int(dice.random() * count)},{i * 31 % 10_000}\n"))


def repeated_groups(mb):
    """The rows of 10 MB of groups, 1,000 keys, again and again to the size: what differs with the size is the size alone."""
    def write(file):
        with open(groups(1_200_000, 1000), "rb") as rows:
            text = rows.read(10_000_000)
        text = text[:text.rfind(b"\n") + 1]
        for _ in range(mb // 10):
            file.write(text)
    return made(f"groups-{mb}mb.csv", write)


def events(rows):
    """JSON lines of some 200 bytes."""
    dice = random.Random(4)

    def line(i):
        return (f'{{"id": {i}, "user": {{"name": "user{i * 7919 % 100_000}", "country": "{("de", "fr", "pl", "it")[i % 4]}"}}, '
                f'"price": {int(dice.random() * 10_000)}, "tags": ["a{i % 7}", "b{i % 11}"], "text": "some words about event {i}", "ok": true}}\n')
    return made(f"events-{rows}.jsonl", rows_of(rows, line))
