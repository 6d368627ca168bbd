"""The guard at the door: who may come in, how many, how often, and who may not for a while. Knows nothing of FTP."""
