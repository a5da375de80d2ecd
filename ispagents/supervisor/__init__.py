"""Keeps the processes of one installation running: starts, watches, restarts and stops them, and says so.

child       what to run, and what is known about it while it runs
keeper      the life of one child: start, ready, death, back-off, stop
logs        a log file a child, rotated by size, and the lines that a person should see
control     a socket through which other processes ask for status, stop, start and restart
supervisor  all keepers together, on a thread of their own
"""

from ispagents.supervisor.child import Child, ChildState
from ispagents.supervisor.control import ask
from ispagents.supervisor.supervisor import Supervisor

__all__ = ["Child", "ChildState", "Supervisor", "ask"]
