"""The files of bags: the messages that are stored in them, as bytes, also where the file is cut or damaged."""
