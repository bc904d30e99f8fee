"""The demonstration: an agent is killed in the middle of a task, and another one goes on exactly where it was.

The door: `play`, what it tells while it plays, and what it found.
"""

from continuity.demo.play import Beat, Ending, Tell, play

__all__ = ["Beat", "Ending", "Tell", "play"]
