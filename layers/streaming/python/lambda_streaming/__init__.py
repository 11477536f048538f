"""Response streaming for the managed Python Lambda runtime. Standard library only."""

from .hook import connect_early, response_mode
from .pump import DeadlineReached, Pump
from .response import SECONDS_BEFORE_LAMBDA_ENDS, Response, StreamingResponse, streaming

__all__ = [
    "SECONDS_BEFORE_LAMBDA_ENDS",
    "DeadlineReached",
    "Pump",
    "Response",
    "StreamingResponse",
    "connect_early",
    "response_mode",
    "streaming",
]
