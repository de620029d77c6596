"""`python -m agent.execution.proving`: a proving process. `processes.py` starts it, people do not."""

from agent.execution.proving.child import serve

if __name__ == "__main__":
    serve()
