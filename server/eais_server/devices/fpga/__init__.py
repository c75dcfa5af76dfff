"""FPGA boards with shell and role: images, regions, and the two functions of a board."""
