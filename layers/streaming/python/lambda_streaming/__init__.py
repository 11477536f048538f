"""Response streaming for the managed Python Lambda runtime. Standard library only."""

from .hook import response_mode
from .pump import DeadlineReached, Pump
from .response import Response, StreamingResponse, streaming

__all__ = ["DeadlineReached", "Pump", "Response", "StreamingResponse", "response_mode", "streaming"]
