"""The language of FTP: lines, commands, replies and the addresses in them. Pure; bytes in, values out."""
