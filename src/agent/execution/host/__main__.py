"""`python -m agent.execution.host`: the process of a project. `process.py` starts it, people do not."""

from agent.execution.host.serving import serve

if __name__ == "__main__":
    serve()
