"""Keras models that are trained on examples alone: their `fit`, whatever the form of the data and the devices."""

from companion._training.chunks import MOST_NUMBERS, in_chunks
from companion._training.inputs import array_of_examples
from companion._training.model import TrainedOnExamples

__all__ = ["MOST_NUMBERS", "TrainedOnExamples", "array_of_examples", "in_chunks"]
