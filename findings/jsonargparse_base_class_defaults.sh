#!/usr/bin/env bash
# jsonargparse: a subclass, named for a parameter typed as its base class, gets null in the place of its own default,
# where that default is a dataclass and the base class, which could be built itself, has None for the same parameter.
# Command lines always do this; parse_object only after any other parser has parsed any command line in the process, so
# one and the same call changes what it returns. Defaults that are numbers, or dataclasses on both sides, are kept.
# Ends with 0 while this is so; with 1 once it is mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jsonargparse==4.53.0

cat > "$work/shapes.py" <<'PYTHON'
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass

from jsonargparse import ArgumentParser, __version__


@dataclass
class Grid:
    rows: int = 2


class Shape:
    def __init__(self, corners: int | None = None, grid: Grid | None = None):
        self.corners, self.grid = corners, grid


class Square(Shape):
    def __init__(self, corners: int | None = 4, grid: Grid | None = Grid()):
        super().__init__(corners, grid)


class AbstractShape(ABC):
    def __init__(self, corners: int | None = None, grid: Grid | None = None):
        self.corners, self.grid = corners, grid

    @abstractmethod
    def area(self): ...


class ConcreteSquare(AbstractShape):
    def __init__(self, corners: int | None = 4, grid: Grid | None = Grid()):
        super().__init__(corners, grid)

    def area(self): ...


def parser_of(base):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--shape", type=base)
    return parser


def from_object(base, name):
    found = parser_of(base).parse_object({"shape": {"class_path": f"__main__.{name}"}}).shape.init_args
    return found.corners, found.grid and found.grid.rows


def from_command_line(base, name):
    found = parser_of(base).parse_args(["--shape", f"__main__.{name}"]).shape.init_args
    return found.corners, found.grid and found.grid.rows


print("jsonargparse", __version__)
print("Square() itself has (corners, grid.rows):", (Square().corners, Square().grid.rows))
first = from_object(Shape, "Square")
print("parse_object, first:", first)
other = ArgumentParser()
other.add_argument("--number", type=int)
other.parse_args(["--number", "1"])
second = from_object(Shape, "Square")
print("the same call, after another parser has parsed --number 1:", second)
line = from_command_line(Shape, "Square")
print("parse_args:", line)
abstract = from_object(AbstractShape, "ConcreteSquare"), from_command_line(AbstractShape, "ConcreteSquare")
print("both, where the base class is abstract:", *abstract)
as_found = (first, second, line, abstract) == ((4, 2), (4, None), (4, None), ((4, 2), (4, 2)))
sys.exit(0 if as_found else 1)
PYTHON
"$work/venv/bin/python" "$work/shapes.py"
