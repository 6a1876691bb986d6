"""The IP address server. Its room is kept: DHCP codec, pools, leases and
over-allocation come with the role ipserver."""
