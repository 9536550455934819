"""The shapes in which others ask people and are answered: langchain's human-in-the-loop middleware, Agent Inbox."""
