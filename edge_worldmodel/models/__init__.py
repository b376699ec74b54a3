"""Model files and their verification, this machine, and which shipped model it runs."""
