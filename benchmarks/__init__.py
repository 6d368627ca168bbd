"""The benchmark, ``python -m benchmarks``: the gateway beside other programs that people put in front of FTP."""
