"""Rows of many requests become one batch, and its answers rows again."""

from gluonserve.batching.answer import Answer, BatcherStatistics, Timing
from gluonserve.batching.batcher import DynamicBatcher
from gluonserve.batching.observer import BatchObserver
from gluonserve.batching.policy import BatchPolicy, CloseReason, DropReason

__all__ = [
    "Answer",
    "BatchObserver",
    "BatchPolicy",
    "BatcherStatistics",
    "CloseReason",
    "DropReason",
    "DynamicBatcher",
    "Timing",
]
