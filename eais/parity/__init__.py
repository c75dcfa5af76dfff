"""Whether answers are those of a reference, within a tolerance. (Brain)"""
