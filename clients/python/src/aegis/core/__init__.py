"""The words: actions, results, policies."""
