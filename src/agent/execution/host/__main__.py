"""`python -m agent.execution.host`: the process of a project. `process.py` starts it, people do not."""

import gc

from agent.execution.host.serving import serve

if __name__ == "__main__":
    gc.set_threshold(50_000)  # of what is read of very many partitions nothing is garbage
    serve()
