"""Evaluation as pure functions of features and labels; callbacks say when to run them and where to log."""
