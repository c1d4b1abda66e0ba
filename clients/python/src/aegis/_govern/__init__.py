"""The life of one governed call, without the I/O: propose, wait, run, report."""
