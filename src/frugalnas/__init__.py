"""Find good neural architectures cheaply."""
__version__ = "0.1.0"
