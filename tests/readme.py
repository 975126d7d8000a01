"""Read README.md: the calls of our programs in its shell blocks and in `code`, and the paths and extras named there."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tests.children import PROJECT

TEXT = (PROJECT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
PROSE = FENCED.sub(lambda block: "\n" * block[0].count("\n"), TEXT)  # keeps the line numbers
SHELL = [block for block in FENCED.finditer(TEXT) if block[1] in ("sh", "bash")]
INLINE = list(re.finditer(r"`((?:[^`\n]|\n(?!\n))+)`", PROSE))
SHOWN = "\n".join([block[2] for block in SHELL] + [code[1] for code in INLINE])
PROGRAM = re.compile(r"\./run\.sh|local/study\.sh|recipe-mtlvae|-m (?:recipe_mtlvae|local|tests)\b[\w.]*")
PLACEHOLDER = re.compile(r"\.\.\.|\$|<|(?<![A-Za-z])[A-Z][A-Z\d_]*(?![A-Za-z])|^key\.path=")  # DIR, [DIR,...], s$seed


@dataclass(frozen=True)
class Command:
    """A call of one of our programs.

    `whole` is true for a complete command, and false for a mention in the text or an option in a comment.
    """

    line: int
    program: str  # as PROGRAM finds it
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return " ".join([self.program.removeprefix("-m "), *self.words])

    @property
    def where(self) -> str:
        return f"README.md:{self.line}: {self}"


def commands() -> list[Command]:
    """Return each distinct command once, at its first place; shell blocks count before prose."""
    return list({str(command): command for command in reversed([*_in_blocks(), *_in_prose()])}.values())[::-1]


def _in_blocks() -> Iterator[Command]:
    """Yield the commands of the shell blocks.

    An indented line continues the command above it; `or --option` in a comment is an option of that command.
    """
    for block in SHELL:
        head = ""
        for text in re.finditer(r"(?:.*\\\n)*.+", block[2]):
            line = TEXT.count("\n", 0, block.start(2) + text.start()) + 1
            code, comment, *_ = [*re.split(r"(?:^|\s)#", text[0].replace("\\\n", " "), maxsplit=1), ""]
            if code[:1].isspace():
                code = f"{head} {code.strip()}"
            elif code:
                head = code
            yield from _in_code(line, code, whole=True)
            for option in re.findall(r"(?:\bor|:|^)\s+(--[\w-]+(?:[ =]\S*[^\s,.:;)])?)", comment):
                for above in _in_code(line, head, whole=False):
                    name = above.words[: "recipe" in above.program]  # detect
                    yield Command(line, above.program, (*name, *option.split()), whole=False)


def _in_prose() -> Iterator[Command]:
    for code in INLINE:
        text = " ".join(code[1].split())
        text = f"./run.sh {text}" if text.startswith("--set ") else text
        yield from _in_code(PROSE.count("\n", 0, code.start()) + 1, text, whole=False)


def _in_code(line: int, code: str, whole: bool) -> Iterator[Command]:
    """Yield the commands in `code`. [--a X | Y] stands for --a X and for --a Y; a quoted command is one of its own."""
    lexer = shlex.shlex(re.sub(r"\[(--[^][]*)\]", _alternatives, code), posix=True, punctuation_chars=";|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    words = list(lexer)
    for start, word in enumerate(words):
        if " " in word:  # sbatch --wrap './run.sh ...'
            yield from _in_code(line, word, whole)
        for program in filter(PROGRAM.fullmatch, {word, " ".join(words[start : start + 2])}):
            after = words[start + len(program.split()) :]
            own = list(itertools.takewhile(lambda word: not re.fullmatch(r"\d?[;|&<>]+", word), after))
            given = tuple(word for word in own if word != "...") or ("--help",) * ("recipe" in program)
            yield Command(line, program, given, whole and "..." not in own)


def _alternatives(option: re.Match[str]) -> str:
    first, *others = option[1].replace(" ...", " ANY").split(" | ")
    return " ".join([first, *(text if text.startswith("--") else f"{first.split()[0]} {text}" for text in others)])


def paths() -> set[str]:
    """Return the paths of the repository that README names.

    A path with a placeholder is cut after its last fixed folder; `dcase2024` stands for a file in conf/submission.
    """
    found = re.findall(r"(?<![\w./-])(?:conf|local|recipe_mtlvae|tests)/[\w./*<{-]*", SHOWN)
    found += [f"conf/submission/{year}.yaml" for year in re.findall(r"\bdcase20\d\d\b", SHOWN)]
    return {re.split(r"[^/]*(?:[*<{]|\b[A-Z]+\b)", path)[0].rstrip(".") for path in found}


def extras() -> set[str]:
    lines = [line for line in SHOWN.splitlines() if "pip install" in line]
    return {name for line in lines for names in re.findall(r"\[([a-z_,-]+)\]", line) for name in names.split(",")}
