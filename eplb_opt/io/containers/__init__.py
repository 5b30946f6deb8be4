"""How a file is packed, whoever wrote it: arrays, tables, JSON, torch archives, folders."""
