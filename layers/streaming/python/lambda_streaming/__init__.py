"""Response streaming for the managed Python Lambda runtime. Standard library only."""

from .hook import response_mode
from .pump import DeadlineReached, pump
from .response import Response, StreamingResponse, streaming

__all__ = ["DeadlineReached", "Response", "StreamingResponse", "pump", "response_mode", "streaming"]
