"""The guard at the door: which clients may come in, how many, how often, and which are banned. Knows no FTP."""
