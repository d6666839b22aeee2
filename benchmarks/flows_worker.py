"""One library's process: answers "names", or the name of a program, a method and its arguments."""

import contextlib
import importlib
import os
import sys
from multiprocessing.connection import Connection

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import flows_problem


def serve(peer, problem, connection):
    """Serves until it is told to stop, or nobody is there to ask."""
    programs = importlib.import_module(f"flows_{peer}").programs(flows_problem.make(problem))
    with contextlib.suppress(EOFError):
        for request in iter(connection.recv, "stop"):
            if request == "names":
                connection.send(list(programs))
            else:
                name, method, arguments = request
                connection.send(getattr(programs[name], method)(*arguments))


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], Connection(int(sys.argv[3])))
