"""Use into money: sessions and usage from accounting reports. Pure logic takes the
time as an argument; nothing here opens a socket."""
