"""State machines as tables, and who may send what in which trading state. Pure."""
