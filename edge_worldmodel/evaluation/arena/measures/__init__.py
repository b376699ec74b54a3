"""Measures of an episode beyond its ending: who came near whom, how hard a contact was, what could have avoided it."""
