"""Automatic checks of the exercises, one module a chapter, one function an exercise."""

from companion.exercises.checks import WrongAnswer

__all__ = ["WrongAnswer"]
