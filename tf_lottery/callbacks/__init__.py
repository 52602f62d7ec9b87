"""Keras callbacks for `model.fit`: lottery tickets, gradual pruning and summaries."""

from tf_lottery.callbacks.density_summaries import DensitySummaries
from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.callbacks.scheduled_pruning import ScheduledPruning

__all__ = ["DensitySummaries", "LotteryTicket", "ScheduledPruning"]
